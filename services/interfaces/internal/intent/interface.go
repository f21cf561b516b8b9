// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package intent is what the configuration wants of interfaces, as values that are checked when they are
// made and never changed. It reads the RFC 7951 JSON of openconfig-interfaces and openconfig-if-ip and
// refuses what Ashlar does not do, with the path at fault. It touches no kernel and no network.
package intent

import (
	"net"
	"net/netip"
)

// Interface is the configuration of one interface.
type Interface struct {
	Name        string
	Description string
	// MTU in bytes of layer 3; 0 leaves the link's as it was found.
	MTU     int
	Enabled bool
	// Subinterface reports whether subinterface 0, which carries the addresses, is configured.
	Subinterface *Subinterface
}

// Subinterface is the untagged subinterface 0.
type Subinterface struct {
	Description string
	Enabled     bool
	V4, V6      *Family
}

// Family is IPv4 or IPv6 on a subinterface.
type Family struct {
	Enabled   bool
	Addresses []Address
	Neighbors []Neighbor
}

// Address is a configured address.
type Address struct {
	// Text is the address as the configuration writes it: the key of its list entry.
	Text   string
	Prefix netip.Prefix
}

// Neighbor is a static neighbour.
type Neighbor struct {
	Text     string
	Address  netip.Addr
	Hardware net.HardwareAddr
}

// Families returns the configured families.
func (s *Subinterface) Families() []*Family {
	var all []*Family
	if s == nil {
		return nil
	}
	for _, f := range []*Family{s.V4, s.V6} {
		if f != nil {
			all = append(all, f)
		}
	}
	return all
}

// Configured returns every address that the configuration names, in effect or not.
func (i Interface) Configured() []Address {
	var all []Address
	for _, f := range i.Subinterface.Families() {
		all = append(all, f.Addresses...)
	}
	return all
}

// Addresses returns the addresses that shall be in the kernel: those of enabled families on an enabled
// subinterface.
func (i Interface) Addresses() []Address {
	var all []Address
	for _, f := range i.active() {
		all = append(all, f.Addresses...)
	}
	return all
}

// Neighbors returns the static neighbours that shall be in the kernel. The kernel keeps none on a link
// that is down.
func (i Interface) Neighbors() []Neighbor {
	var all []Neighbor
	if !i.Enabled {
		return nil
	}
	for _, f := range i.active() {
		all = append(all, f.Neighbors...)
	}
	return all
}

func (i Interface) active() []*Family {
	var all []*Family
	for _, f := range i.Subinterface.Families() {
		if f.Enabled && i.Subinterface.Enabled {
			all = append(all, f)
		}
	}
	return all
}

// Path is the interface's place in the model.
func (i Interface) Path() string { return Path(i.Name) }

// AddressPath is the address's list entry in the model.
func (i Interface) AddressPath(a Address) string {
	return familyPath(i.Name, a.Prefix.Addr()) + "/addresses/address" + key("ip", a.Text)
}

// NeighborPath is the neighbour's list entry in the model.
func (i Interface) NeighborPath(n Neighbor) string {
	return familyPath(i.Name, n.Address) + "/neighbors/neighbor" + key("ip", n.Text)
}
