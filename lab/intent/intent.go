// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package intent is the configuration of the lab's device, as `ashlar set --update` takes it: each entry
// is a gNMI path with a value. Its functions are pure.
package intent

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/ashlar-nos/ashlar/lab/topology"
)

// Instance and protocol that hold the static routes.
const static = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]/static-routes"

// Interface is the path of a port.
func Interface(port string) string { return "/interfaces/interface[name=" + port + "]" }

// Description is a leaf of a port that changes nothing but itself.
func Description(port string) string { return Interface(port) + "/config/description" }

// Route is the path of a static route.
func Route(prefix netip.Prefix) string { return static + "/static[prefix=" + prefix.String() + "]" }

// NextHop is the path of the address of a static route's next hop; index is the operator's name for it.
func NextHop(prefix netip.Prefix, index string) string {
	return Route(prefix) + "/next-hops/next-hop[index=" + index + "]/config/next-hop"
}

// Interfaces gives every port its addresses.
func Interfaces() (updates []string) {
	for _, link := range topology.Links() {
		host := "host A"
		if link.HostB {
			host = "host B"
		}
		updates = append(updates, Description(link.Port)+"=to "+host)
		for _, address := range []netip.Prefix{link.Port4, link.Port6} {
			updates = append(updates, Address(link.Port, address))
		}
	}
	return updates
}

// Address gives a port an address.
func Address(port string, address netip.Prefix) string {
	family := "ipv4"
	if address.Addr().Is6() {
		family = "ipv6"
	}
	return fmt.Sprintf("%s/subinterfaces/subinterface[index=0]/%s/addresses/address[ip=%s]/config/prefix-length=%d",
		Interface(port), family, address.Addr(), address.Bits())
}

// Routes leads to what is behind host B: the balanced prefixes by both links, the others by the first.
func Routes() []string {
	return []string{
		hop(topology.Balanced4, 1, topology.LinkB1.Host4), hop(topology.Balanced4, 2, topology.LinkB2.Host4),
		hop(topology.Balanced6, 1, topology.LinkB1.Host6), hop(topology.Balanced6, 2, topology.LinkB2.Host6),
		hop(topology.Single4, 1, topology.LinkB1.Host4),
		hop(topology.Single6, 1, topology.LinkB1.Host6),
	}
}

// Move leads the single prefixes by another link.
func Move(to topology.Link) []string {
	return []string{hop(topology.Single4, 1, to.Host4), hop(topology.Single6, 1, to.Host6)}
}

func hop(prefix netip.Prefix, index int, via netip.Prefix) string {
	return NextHop(prefix, strconv.Itoa(index)) + "=" + via.Addr().String()
}
