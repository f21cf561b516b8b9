// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package topology lays out the network that the demo, the tests and the benchmarks share: one device
// between two hosts, each in a network namespace of its own, on veth pairs.
//
//	host A ──── ge0 [device] ge1 ════ host B
//	                  │      ge2 ════
//	                mgmt0
//	                  │
//	           root namespace (a /30 of 169.254.0.0/16)
//
// Build makes it and Destroy takes it away by name, after a crash as well. In the root namespace only
// the management link appears. The device's ports are left down and without addresses: configuring them
// is what the device is there for. A Topology is not safe for concurrent use.
package topology

import (
	"net/netip"
)

// Link is a veth pair between a port of the device and a host's interface.
type Link struct {
	// Port is the interface's name in the device, HostInterface its peer's name in the host.
	Port, HostInterface string
	// HostB says at which host it ends.
	HostB bool
	// Port4 to Host6 are the addresses with the length of the link's prefix. Build gives the host's
	// addresses to the host; the port's are for whoever configures the device.
	Port4, Port6, Host4, Host6 netip.Prefix
}

// Addresses from the documentation ranges (RFC 5737, RFC 3849); the prefixes behind host B are private.
var (
	LinkA = Link{
		Port: "ge0", HostInterface: "eth0",
		Port4: netip.MustParsePrefix("192.0.2.1/24"), Host4: netip.MustParsePrefix("192.0.2.10/24"),
		Port6: netip.MustParsePrefix("2001:db8:a::1/64"), Host6: netip.MustParsePrefix("2001:db8:a::10/64"),
	}
	LinkB1 = Link{
		Port: "ge1", HostInterface: "eth0", HostB: true,
		Port4: netip.MustParsePrefix("198.51.100.1/24"), Host4: netip.MustParsePrefix("198.51.100.10/24"),
		Port6: netip.MustParsePrefix("2001:db8:b1::1/64"), Host6: netip.MustParsePrefix("2001:db8:b1::10/64"),
	}
	LinkB2 = Link{
		Port: "ge2", HostInterface: "eth1", HostB: true,
		Port4: netip.MustParsePrefix("203.0.113.1/24"), Host4: netip.MustParsePrefix("203.0.113.10/24"),
		Port6: netip.MustParsePrefix("2001:db8:b2::1/64"), Host6: netip.MustParsePrefix("2001:db8:b2::10/64"),
	}

	// Balanced4 and Balanced6 are behind host B by both links, Single4 and Single6 by one at a time.
	// Host B answers for every address in them.
	Balanced4 = netip.MustParsePrefix("10.99.0.0/16")
	Balanced6 = netip.MustParsePrefix("2001:db8:99::/48")
	Single4   = netip.MustParsePrefix("10.98.0.0/16")
	Single6   = netip.MustParsePrefix("2001:db8:98::/48")
)

// ManagementPort is the device's management interface, which Ashlar never touches.
const ManagementPort = "mgmt0"

// Links are the device's ports in order.
func Links() []Link { return []Link{LinkA, LinkB1, LinkB2} }

// Ports are the names of the device's ports in order.
func Ports() []string { return []string{LinkA.Port, LinkB1.Port, LinkB2.Port} }
