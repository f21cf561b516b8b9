// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// change sets leaves, and says how somebody who does not ask for the configuration sees it.
type change struct {
	updates []string
	seen    effect
}

const (
	port     = "/interfaces/interface"
	unit     = port + "/subinterfaces/subinterface"
	routing  = "/network-instances/network-instance"
	protocol = routing + "/protocols/protocol"
	route    = protocol + "/static-routes/static"
	nextHop  = route + "/next-hops/next-hop"

	ge0       = port + "[name=ge0]"
	ge0Unit   = ge0 + "/subinterfaces/subinterface[index=0]"
	instance0 = routing + "[name=DEFAULT]"
	statics   = instance0 + "/protocols/protocol[identifier=STATIC][name=static]"
)

// hop is the path of a leaf of a static route's next hop.
func hop(prefix, index, leaf string) string {
	return statics + "/static-routes/static[prefix=" + prefix + "]/next-hops/next-hop[index=" + index + "]/" + leaf
}

const (
	first4, second4 = "198.51.100.10", "203.0.113.10"
	first6          = "2001:db8:b1::10"
	station         = "02:00:5e:00:53:01"
)

// portChanges and the others have an entry for each leaf of the model that can be set.
func portChanges() map[string]change {
	return map[string]change{
		port + "/config/name":        {[]string{ge0 + "/config/name=ge0"}, state(ge0+"/state/name", `"ge0"`)},
		port + "/config/type":        {[]string{ge0 + "/config/type=iana-if-type:ethernetCsmacd"}, state(ge0+"/state/type", `"iana-if-type:ethernetCsmacd"`)},
		port + "/config/mtu":         {[]string{ge0 + "/config/mtu=1400"}, kernel("link show dev ge0", "mtu 1400")},
		port + "/config/description": {[]string{ge0 + "/config/description=north wall"}, kernel("link show dev ge0", "alias north wall")},
		port + "/config/enabled":     {[]string{port + "[name=ge2]/config/enabled=false"}, kernelLacks("link show dev ge2", ",UP")},
		unit + "/config/index":       {[]string{ge0Unit + "/config/index=0"}, state(ge0Unit+"/state/index", "0")},
		unit + "/config/description": {[]string{ge0Unit + "/config/description=untagged"}, state(ge0Unit+"/state/description", `"untagged"`)},
		unit + "/config/enabled":     {[]string{port + "[name=ge1]/subinterfaces/subinterface[index=0]/config/enabled=false"}, kernelLacks("addr show dev ge1", "198.51.100.1/24")},
	}
}

func addressChanges() map[string]change {
	four, six := ge0Unit+"/ipv4", ge0Unit+"/ipv6"
	address4, address6 := "/addresses/address[ip=100.64.1.1]", "/addresses/address[ip=2001:db8:c0::1]"
	neighbor4, neighbor6 := "/neighbors/neighbor[ip=192.0.2.77]", "/neighbors/neighbor[ip=2001:db8:a::77]"
	return map[string]change{
		unit + "/ipv4/config/enabled": {[]string{four + "/config/enabled=false"}, kernelLacks("addr show dev ge0", "192.0.2.1/24")},
		unit + "/ipv6/config/enabled": {[]string{six + "/config/enabled=false"}, kernelLacks("addr show dev ge0", "2001:db8:a::1/64")},
		unit + "/ipv4/addresses/address/config/ip": {
			[]string{four + address4 + "/config/ip=100.64.1.1", four + address4 + "/config/prefix-length=24"}, kernel("addr show dev ge0", "inet 100.64.1.1/24")},
		unit + "/ipv4/addresses/address/config/prefix-length": {
			[]string{four + address4 + "/config/prefix-length=26"}, kernel("addr show dev ge0", "inet 100.64.1.1/26")},
		unit + "/ipv6/addresses/address/config/ip": {
			[]string{six + address6 + "/config/ip=2001:db8:c0::1", six + address6 + "/config/prefix-length=64"}, kernel("addr show dev ge0", "inet6 2001:db8:c0::1/64")},
		unit + "/ipv6/addresses/address/config/prefix-length": {
			[]string{six + address6 + "/config/prefix-length=72"}, kernel("addr show dev ge0", "inet6 2001:db8:c0::1/72")},
		unit + "/ipv4/neighbors/neighbor/config/ip": {
			[]string{four + neighbor4 + "/config/ip=192.0.2.77", four + neighbor4 + "/config/link-layer-address=" + station}, kernel("neigh show dev ge0", "192.0.2.77 lladdr "+station+" PERMANENT")},
		unit + "/ipv4/neighbors/neighbor/config/link-layer-address": {
			[]string{four + neighbor4 + "/config/link-layer-address=02:00:5e:00:53:02"}, kernel("neigh show dev ge0", "192.0.2.77 lladdr 02:00:5e:00:53:02 PERMANENT")},
		unit + "/ipv6/neighbors/neighbor/config/ip": {
			[]string{six + neighbor6 + "/config/ip=2001:db8:a::77", six + neighbor6 + "/config/link-layer-address=" + station}, kernel("neigh show dev ge0", "2001:db8:a::77 lladdr "+station)},
		unit + "/ipv6/neighbors/neighbor/config/link-layer-address": {
			[]string{six + neighbor6 + "/config/link-layer-address=02:00:5e:00:53:02"}, kernel("neigh show dev ge0", "2001:db8:a::77 lladdr 02:00:5e:00:53:02")},
	}
}

func routingChanges() map[string]change {
	return map[string]change{
		routing + "/config/name":        {[]string{instance0 + "/config/name=DEFAULT"}, state(instance0+"/state/name", `"DEFAULT"`)},
		routing + "/config/type":        {[]string{instance0 + "/config/type=openconfig-network-instance-types:DEFAULT_INSTANCE"}, state(instance0+"/state/type", `"openconfig-network-instance-types:DEFAULT_INSTANCE"`)},
		protocol + "/config/identifier": {[]string{statics + "/config/identifier=openconfig-policy-types:STATIC", statics + "/config/name=static"}, state(statics+"/state/identifier", `"openconfig-policy-types:STATIC"`)},
		protocol + "/config/name":       {[]string{statics + "/config/name=static"}, state(statics+"/state/name", `"static"`)},
		route + "/config/prefix": {
			[]string{statics + "/static-routes/static[prefix=10.40.0.0/16]/config/prefix=10.40.0.0/16", hop("10.40.0.0/16", "1", "config/next-hop="+first4)}, forwards("10.40.0.1", "ge1 "+first4)},
		nextHop + "/config/index":    {[]string{hop("10.41.0.0/16", "a", "config/index=a"), hop("10.41.0.0/16", "a", "config/next-hop="+first4)}, forwards("10.41.0.1", "ge1 "+first4)},
		nextHop + "/config/next-hop": {[]string{hop("2001:db8:40::/48", "1", "config/next-hop="+first6)}, forwards("2001:db8:40::1", "ge1 "+first6)},
		nextHop + "/config/metric": {
			[]string{hop("10.42.0.0/16", "1", "config/next-hop="+first4), hop("10.42.0.0/16", "1", "config/metric=20"), hop("10.42.0.0/16", "2", "config/next-hop="+second4), hop("10.42.0.0/16", "2", "config/metric=10")},
			forwards("10.42.0.1", "ge2 "+second4)},
		nextHop + "/config/preference": {
			[]string{hop("10.43.0.0/16", "1", "config/next-hop="+first4), hop("10.43.0.0/16", "1", "config/preference=20"), hop("10.43.0.0/16", "2", "config/next-hop="+second4), hop("10.43.0.0/16", "2", "config/preference=10")},
			forwards("10.43.0.1", "ge2 "+second4)},
		nextHop + "/interface-ref/config/interface": {
			[]string{hop("10.44.0.0/16", "1", "config/next-hop="+second4), hop("10.44.0.0/16", "1", "interface-ref/config/interface=ge2")}, forwards("10.44.0.1", "ge2 "+second4)},
	}
}

func otherChanges() map[string]change {
	return map[string]change{
		"/system/config/hostname": {[]string{"/system/config/hostname=keystone"}, hostname("keystone")},
	}
}

// refused is in the model because a list of OpenConfig's must have it, and cannot be set: what a device consists
// of is not configured by name.
const refused = "/components/component/config/name"

// Every leaf that the model lets be set has an effect that can be seen without asking for the configuration.
func TestEveryLeafHasAnEffect(t *testing.T) {
	changes := map[string]change{}
	for _, part := range []map[string]change{portChanges(), addressChanges(), routingChanges(), otherChanges()} {
		maps.Copy(changes, part)
	}
	leaves := slices.DeleteFunc(configurable(t), func(leaf string) bool { return leaf == refused })
	for _, leaf := range leaves {
		if _, ok := changes[leaf]; !ok {
			t.Errorf("%s can be set, and this test does not know what it does", leaf)
		}
	}
	for leaf := range changes {
		if !slices.Contains(leaves, leaf) {
			t.Errorf("%s cannot be set any more", leaf)
		}
	}
	r := configured(t)
	if err := r.update(t.Context(), "/components/component[name=rib]/config/name", `"rib"`); status.Code(err) != codes.Unimplemented {
		t.Errorf("set %s = %v, want Unimplemented", refused, err)
	}
	for _, leaf := range leaves {
		t.Run(strings.ReplaceAll(leaf[1:], "/", "."), func(t *testing.T) { r.try(t, leaf, changes[leaf]) })
	}
}

// try sets, looks, and puts back what was.
func (r *rig) try(t *testing.T, leaf string, c change) {
	if c.seen == nil {
		t.Fatalf("no effect is known of %s", leaf)
	}
	before := r.configuration(t)
	r.operate(t, c.updates...)
	until(t, leaf, func(ctx context.Context) error { return c.seen(ctx, r) })
	r.replaceRoot(t, before)
	if after := r.configuration(t); after != before {
		t.Fatalf("put back, the configuration is\n%s\nand was\n%s", after, before)
	}
}

// A next hop DROP discards.
func TestDropRoute(t *testing.T) {
	r := configured(t)
	r.operate(t, hop("10.60.0.0/16", "1", "config/next-hop=openconfig-local-routing:DROP"))
	until(t, "drop", func(ctx context.Context) error { return drops("10.60.0.1")(ctx, r) })
	r.answers(t, everywhere...)
}
