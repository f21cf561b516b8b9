// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package intent

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
)

const whole = `{"openconfig-interfaces:name":"ge0",
 "openconfig-interfaces:config":{"name":"ge0","type":"iana-if-type:ethernetCsmacd","mtu":1400,"description":"to A","enabled":false},
 "openconfig-interfaces:subinterfaces":{"subinterface":[{"index":0,"config":{"index":0,"enabled":true,"description":"s"},
  "openconfig-if-ip:ipv4":{"config":{"enabled":true},"addresses":{"address":[{"ip":"192.0.2.1","config":{"ip":"192.0.2.1","prefix-length":24}}]},
   "neighbors":{"neighbor":[{"ip":"192.0.2.9","config":{"ip":"192.0.2.9","link-layer-address":"02:00:00:00:00:09"}}]}},
  "openconfig-if-ip:ipv6":{"addresses":{"address":[{"ip":"2001:DB8::1","config":{"ip":"2001:DB8::1","prefix-length":64}}]}}}]}}`

func TestParse(t *testing.T) {
	i, err := Parse("ge0", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if i.Name != "ge0" || i.MTU != 1400 || i.Description != "to A" || i.Enabled {
		t.Errorf("%+v", i)
	}
	a := i.Addresses()
	if len(a) != 2 || a[0].Prefix != netip.MustParsePrefix("192.0.2.1/24") || a[1].Text != "2001:DB8::1" {
		t.Errorf("addresses %v", a)
	}
	if len(i.Neighbors()) != 0 {
		t.Error("a disabled interface has neighbours")
	}
	if got := i.AddressPath(a[1]); got != "/interfaces/interface[name=ge0]/subinterfaces/subinterface[index=0]/ipv6/addresses/address[ip=2001:DB8::1]" {
		t.Error(got)
	}
}

func TestParseDefaults(t *testing.T) {
	i, err := Parse("ge0", []byte(`{}`))
	if err != nil || !i.Enabled || i.MTU != 0 || len(i.Addresses()) != 0 {
		t.Errorf("%+v, %v", i, err)
	}
}

func v4(addresses string) string {
	return `{"subinterfaces":{"subinterface":[{"index":0,"ipv4":{"addresses":{"address":[` + addresses + `]}}}]}}`
}

func v6(addresses string) string {
	return `{"subinterfaces":{"subinterface":[{"index":0,"ipv6":{"addresses":{"address":[` + addresses + `]}}}]}}`
}

func mac(address string) string {
	return `{"subinterfaces":{"subinterface":[{"index":0,"ipv4":{"neighbors":{"neighbor":[{"ip":"192.0.2.9","config":{"link-layer-address":"` + address + `"}}]}}}]}}`
}

func entry(ip, length string) string {
	return `{"ip":"` + ip + `","config":{"ip":"` + ip + `","prefix-length":` + length + `}}`
}

func TestRefusals(t *testing.T) {
	const (
		top = "/interfaces/interface[name=ge0]"
		sub = top + "/subinterfaces/subinterface[index=0]"
	)
	at4 := func(ip string) string { return sub + "/ipv4/addresses/address[ip=" + ip + "]" }
	at6 := func(ip string) string { return sub + "/ipv6/addresses/address[ip=" + ip + "]" }
	for _, test := range []struct{ desc, json, path, reason string }{
		{"no JSON", `{`, top, "no JSON"},
		{"more than one value", `{} {}`, top, "follows"},
		{"no object", `[]`, top, "not a JSON object"},
		{"another name", `{"name":"ge1"}`, top + "/name", "differs from the key"},
		{"another name below", `{"config":{"name":"ge1"}}`, top + "/config/name", "differs from the key"},
		{"unknown member", `{"config":{"loopback-mode":"NONE"}}`, top + "/config/loopback-mode", "does not implement"},
		{"unknown container", `{"openconfig-if-ethernet:ethernet":{}}`, top + "/ethernet", "does not implement"},
		{"member twice", `{"a:name":"ge0","b:name":"ge0"}`, top + "/name", "twice"},
		{"another type", `{"config":{"type":"iana-if-type:l3ipvlan"}}`, top + "/config/type", "not supported"},
		{"MTU is text", `{"config":{"mtu":"big"}}`, top + "/config/mtu", "16 bits"},
		{"MTU too large for the leaf", `{"config":{"mtu":65536}}`, top + "/config/mtu", "16 bits"},
		{"MTU is a fraction", `{"config":{"mtu":1.5}}`, top + "/config/mtu", "16 bits"},
		{"enabled is text", `{"config":{"enabled":"yes"}}`, top + "/config/enabled", "true or false"},
		{"list is an object", `{"subinterfaces":{"subinterface":{}}}`, top + "/subinterfaces/subinterface", "array"},
		{"VLAN subinterface", `{"subinterfaces":{"subinterface":[{"index":7}]}}`, top + "/subinterfaces/subinterface[index=7]", "only subinterface 0"},
		{"no address", v4(entry("192.0.2.999", "24")), at4("192.0.2.999"), "no IPv4 address"},
		{"wrong family", v4(entry("2001:db8::1", "64")), at4("2001:db8::1"), "no IPv4 address"},
		{"mapped", v6(entry("::ffff:192.0.2.1", "64")), at6("::ffff:192.0.2.1"), "no IPv6 address"},
		{"zone", v6(entry("fe80::1%ge0", "64")), at6("fe80::1%ge0"), "no IPv6 address"},
		{"multicast", v4(entry("224.0.0.5", "24")), at4("224.0.0.5"), "multicast"},
		{"multicast 6", v6(entry("ff02::1", "64")), at6("ff02::1"), "multicast"},
		{"loopback", v4(entry("127.0.0.2", "8")), at4("127.0.0.2"), "loopback"},
		{"loopback 6", v6(entry("::1", "128")), at6("::1"), "loopback"},
		{"unspecified", v6(entry("::", "64")), at6("::"), "unspecified"},
		{"class E", v4(entry("240.0.0.1", "24")), at4("240.0.0.1"), "RFC 1122"},
		{"network 0", v4(entry("0.0.0.1", "8")), at4("0.0.0.1"), "RFC 1122"},
		{"limited broadcast", v4(entry("255.255.255.255", "32")), at4("255.255.255.255"), "RFC 1122"},
		{"network address", v4(entry("192.0.2.0", "24")), at4("192.0.2.0") + "/config/prefix-length", "network address"},
		{"broadcast address", v4(entry("192.0.2.255", "24")), at4("192.0.2.255") + "/config/prefix-length", "broadcast address"},
		{"anycast", v6(entry("2001:db8::", "64")), at6("2001:db8::") + "/config/prefix-length", "anycast"},
		{"prefix length 0", v4(entry("192.0.2.1", "0")), at4("192.0.2.1") + "/config/prefix-length", "1 to 32"},
		{"prefix length 33", v4(entry("192.0.2.1", "33")), at4("192.0.2.1") + "/config/prefix-length", "1 to 32"},
		{"prefix length 129", v6(entry("2001:db8::1", "129")), at6("2001:db8::1") + "/config/prefix-length", "1 to 128"},
		{"no prefix length", v4(`{"ip":"192.0.2.1"}`), at4("192.0.2.1") + "/config/prefix-length", "needs a prefix length"},
		{"the key differs", v4(`{"ip":"192.0.2.1","config":{"ip":"192.0.2.2","prefix-length":24}}`), at4("192.0.2.1") + "/config/ip", "differs"},
		{"address twice", v6(entry("2001:db8::1", "64") + "," + entry("2001:DB8:0::1", "64")), at6("2001:DB8:0::1"), "given twice"},
		{"no MAC", mac("02:00:00"), sub + "/ipv4/neighbors/neighbor[ip=192.0.2.9]/config/link-layer-address", "no MAC"},
		{"MAC of 8 bytes", mac("02:00:00:00:00:00:00:01"), sub + "/ipv4/neighbors/neighbor[ip=192.0.2.9]/config/link-layer-address", "no MAC"},
		{"group MAC", mac("01:00:5e:00:00:01"), sub + "/ipv4/neighbors/neighbor[ip=192.0.2.9]/config/link-layer-address", "group address"},
		{"zero MAC", mac("00:00:00:00:00:00"), sub + "/ipv4/neighbors/neighbor[ip=192.0.2.9]/config/link-layer-address", "no station"},
		{
			"own address as a neighbor",
			`{"subinterfaces":{"subinterface":[{"index":0,"openconfig-if-ip:ipv4":{
				"neighbors":{"neighbor":[{"ip":"192.0.2.1","config":{"ip":"192.0.2.1","link-layer-address":"02:00:00:00:00:09"}}]},
				"addresses":{"address":[` + entry("192.0.2.1", "24") + `]}}}]}}`,
			sub + "/ipv4/neighbors/neighbor[ip=192.0.2.1]", "own address",
		},
		{"empty MAC", mac(""), sub + "/ipv4/neighbors/neighbor[ip=192.0.2.9]/config/link-layer-address", "needs a link-layer address"},
	} {
		t.Run(test.desc, func(t *testing.T) {
			_, err := Parse("ge0", []byte(test.json))
			var r *Refusal
			if !errors.As(err, &r) {
				t.Fatalf("accepted: %v", err)
			}
			if r.Path != test.path || !strings.Contains(r.Reason, test.reason) || r.Code == codes.OK {
				t.Errorf("%v %q at %s, want %q at %s", r.Code, r.Reason, r.Path, test.reason, test.path)
			}
		})
	}
}

func TestAcceptedPrefixes(t *testing.T) {
	for _, p := range []string{"192.0.2.0/31", "192.0.2.1/31", "192.0.2.1/32", "10.0.0.1/8", "169.254.1.1/16", "192.0.2.254/24"} {
		ip, bits, _ := strings.Cut(p, "/")
		if _, err := Parse("ge0", []byte(v4(entry(ip, bits)))); err != nil {
			t.Error(err)
		}
	}
	for _, p := range []string{"2001:db8::/127", "2001:db8::/128", "fe80::1/64", "fd00::ffff:ffff:ffff:ffff/64"} {
		ip, bits, _ := strings.Cut(p, "/")
		if _, err := Parse("ge0", []byte(v6(entry(ip, bits)))); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ge0", []byte(whole))
	f.Add("a]b", []byte(v6(entry("2001:db8::1", "64"))))
	f.Add("ge0", []byte(mac("02:00:00:00:00:01")))
	f.Fuzz(func(t *testing.T, name string, raw []byte) {
		i, err := Parse(name, raw)
		if err == nil {
			for _, a := range i.Configured() {
				if !a.Prefix.IsValid() || a.Prefix.Bits() == 0 {
					t.Errorf("accepted %v", a)
				}
			}
			return
		}
		var r *Refusal
		if !errors.As(err, &r) || !strings.HasPrefix(r.Path, Path(name)) {
			t.Errorf("%v", err)
		}
	})
}
