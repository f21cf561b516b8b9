// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package kernel is the one door to the kernel's links, addresses, neighbours and connected
// routes.
//
// It reads one interface at a time as it is now, writes one fact at a time, and tells when something
// changed, never what to: whoever hears an event reads again. Every address and neighbour that it adds
// carries [Protocol], so that ownership is kept by the kernel itself and outlives the daemon (needs
// Linux 5.18, IFA_PROTO). A [Conn] belongs to the network namespace of the thread that opened it, works
// from any goroutine, and needs CAP_NET_ADMIN for writes only.
package kernel

import (
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Protocol marks the addresses (IFA_PROTO) and neighbours (NDA_PROTOCOL) that are Ashlar's.
const Protocol = 0xA5

// Link is a network device as the kernel has it.
type Link struct {
	Index int
	Name  string
	// Kind is the driver's kind as the kernel names it, for example "veth"; empty for hardware.
	Kind string
	// Hardware is the ARPHRD_* type.
	Hardware uint16
	// MTU, MinMTU and MaxMTU are bytes of layer 3; MaxMTU 0 means that the driver states none.
	MTU, MinMTU, MaxMTU int
	// Up is the administrative state, Carrier the physical one.
	Up, Carrier bool
	// Operational is the RFC 2863 state, IF_OPER_*.
	Operational uint8
	// CarrierChanges counts how often Carrier changed since the link was made.
	CarrierChanges int
	Address        net.HardwareAddr
	Alias          string
	Knobs          Knobs
	// IPv6Disabled: the kernel takes no IPv6 address for the link (disable_ipv6).
	IPv6Disabled bool
}

// Ethernet reports whether frames on the link carry Ethernet headers.
func (l Link) Ethernet() bool { return l.Hardware == unix.ARPHRD_ETHER }

// Address is one address of a link.
type Address struct {
	// Prefix is the address itself with the length of its subnet.
	Prefix netip.Prefix
	// Protocol says who added it: [Protocol], 0 for an unmarked address, or the kernel's IFAPROT_*.
	Protocol uint8
	// Flags are IFA_F_*.
	Flags uint32
	// Scope is RT_SCOPE_*.
	Scope uint8
}

// The kernel's own marks in Address.Protocol (linux/if_addr.h).
const (
	protocolLoopback  = 1
	protocolRouterAdv = 2
	protocolLinkLocal = 3
)

// Ours reports whether Ashlar added the address.
func (a Address) Ours() bool { return a.Protocol == Protocol }

// Automatic reports whether the kernel made the address and tends it: link-local, learned or temporary.
func (a Address) Automatic() bool {
	switch a.Protocol {
	case protocolLoopback, protocolRouterAdv, protocolLinkLocal:
		return true
	}
	return a.Flags&unix.IFA_F_PERMANENT == 0
}

// LinkLocal reports whether the kernel formed the address from the link's own.
func (a Address) LinkLocal() bool { return a.Protocol == protocolLinkLocal }

// Sound reports whether the address works as a configured one does: for ever, usable and with its
// connected route.
func (a Address) Sound() bool {
	const bad = unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED | unix.IFA_F_NOPREFIXROUTE
	return a.Flags&unix.IFA_F_PERMANENT != 0 && a.Flags&bad == 0
}

// Usable reports whether the kernel is done with making the address.
func (a Address) Usable() bool { return a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 }

// Neighbor is one entry of the neighbour tables (ARP, RFC 826; ND, RFC 4861).
type Neighbor struct {
	Address  netip.Addr
	Hardware net.HardwareAddr
	// State is NUD_*.
	State uint16
	// Protocol as in Address.
	Protocol uint8
	// Router: the neighbour says that it is one (IPv6 only).
	Router bool
}

// Ours reports whether Ashlar added the neighbour.
func (n Neighbor) Ours() bool { return n.Protocol == Protocol }

// Permanent reports whether the neighbour is static.
func (n Neighbor) Permanent() bool { return n.State&unix.NUD_PERMANENT != 0 }

// State is everything about one interface that Ashlar writes or tells.
type State struct {
	Link      Link
	Addresses []Address
	Neighbors []Neighbor
	// Connected are the subnets with a connected route of the kernel's own; read only for a link that is up.
	Connected []netip.Prefix
}

// Find returns the address with exactly this prefix.
func (s State) Find(p netip.Prefix) (Address, bool) {
	i := slices.IndexFunc(s.Addresses, func(a Address) bool { return a.Prefix == p })
	if i < 0 {
		return Address{}, false
	}
	return s.Addresses[i], true
}

// Neighbor returns the entry for the address.
func (s State) Neighbor(ip netip.Addr) (Neighbor, bool) {
	i := slices.IndexFunc(s.Neighbors, func(n Neighbor) bool { return n.Address == ip })
	if i < 0 {
		return Neighbor{}, false
	}
	return s.Neighbors[i], true
}
