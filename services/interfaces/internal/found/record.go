// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package found remembers what an interface was like before Ashlar configured it, so that it can be put
// back when its configuration is removed. A record is on disk before the first change is made, and is
// valid only for the very link it was made of.
package found

import (
	"net"
	"net/netip"
	"slices"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
)

// Record is an interface as it was found.
type Record struct {
	// Identity and Index name the link: the namespace in its boot, and the interface index in it.
	Identity string `json:"identity"`
	Index    int    `json:"index"`

	Up        bool         `json:"up"`
	MTU       int          `json:"mtu"`
	Alias     string       `json:"alias,omitempty"`
	Knobs     kernel.Knobs `json:"knobs"`
	Addresses []Address    `json:"addresses,omitempty"`
	Neighbors []Neighbor   `json:"neighbors,omitempty"`
}

// Address is an address that somebody else had set.
type Address struct {
	Prefix   netip.Prefix `json:"prefix"`
	Scope    uint8        `json:"scope,omitempty"`
	Protocol uint8        `json:"protocol,omitempty"`
	Flags    uint32       `json:"flags,omitempty"`
}

// Neighbor is a permanent neighbour that somebody else had set.
type Neighbor struct {
	Address  netip.Addr `json:"address"`
	Hardware string     `json:"hardware"`
	Protocol uint8      `json:"protocol,omitempty"`
}

// Of makes the record of an interface. What Ashlar itself left there, and what the kernel tends by
// itself, is no part of it.
func Of(identity string, s kernel.State) Record {
	r := Record{Identity: identity, Index: s.Link.Index, Up: s.Link.Up, MTU: s.Link.MTU, Alias: s.Link.Alias, Knobs: s.Link.Knobs}
	for _, a := range s.Addresses {
		if !a.Ours() && !a.Automatic() {
			r.Addresses = append(r.Addresses, Address{a.Prefix, a.Scope, a.Protocol, a.Flags})
		}
	}
	for _, n := range s.Neighbors {
		if !n.Ours() && n.Permanent() && len(n.Hardware) == 6 {
			r.Neighbors = append(r.Neighbors, Neighbor{n.Address, n.Hardware.String(), n.Protocol})
		}
	}
	return r
}

// Describes reports whether the record is of this very link.
func (r Record) Describes(identity string, l kernel.Link) bool {
	return r.Identity == identity && r.Index == l.Index
}

// Has reports whether the address was there.
func (r Record) Has(p netip.Prefix) bool {
	return slices.ContainsFunc(r.Addresses, func(a Address) bool { return a.Prefix == p })
}

// KernelAddresses returns the addresses in the form the kernel takes them.
func (r Record) KernelAddresses() []kernel.Address {
	var all []kernel.Address
	for _, a := range r.Addresses {
		all = append(all, kernel.Address{Prefix: a.Prefix, Scope: a.Scope, Protocol: a.Protocol, Flags: a.Flags})
	}
	return all
}

// KernelNeighbors returns the neighbours in the form the kernel takes them.
func (r Record) KernelNeighbors() []kernel.Neighbor {
	var all []kernel.Neighbor
	for _, n := range r.Neighbors {
		if mac, err := net.ParseMAC(n.Hardware); err == nil {
			all = append(all, kernel.Neighbor{Address: n.Address, Hardware: mac, Protocol: n.Protocol})
		}
	}
	return all
}
