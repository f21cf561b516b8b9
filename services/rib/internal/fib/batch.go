// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import "net/netip"

// Batch is one transaction for the dataplane, or the end of synchronisation. It may be read without the
// lock under which it was made.
type Batch struct {
	Sequence  uint64
	Groups    []GroupWrite
	Routes    []RouteWrite
	EndOfSync bool

	mark    uint64 // everything touched up to here is decided with this batch
	careful bool
}

// GroupWrite is the content a group gets.
type GroupWrite struct {
	Content
	group   *Group
	version uint32
}

// ID is the group's number.
func (w GroupWrite) ID() uint32 { return w.group.id }

// RouteWrite is the group a prefix gets.
type RouteWrite struct {
	slot  *Slot
	group *Group
}

// Prefix is the route's prefix.
func (w RouteWrite) Prefix() netip.Prefix { return w.slot.prefix }

// Group is the number of the route's group, 0 for a withdrawal.
func (w RouteWrite) Group() uint32 {
	if w.group == nil {
		return 0
	}
	return w.group.id
}

// Failure is the dataplane's refusal of one batch, which changed nothing.
type Failure struct {
	Sequence uint64
	Route    string // the route at fault as text; empty for the batch as a whole
	Refusal
}

func (b *Batch) empty() bool { return len(b.Groups)+len(b.Routes) == 0 }

// indexOf finds the route that a failure names, -1 if there is none.
func (b *Batch) indexOf(route string) int {
	if route == "" {
		return -1
	}
	prefix, err := netip.ParsePrefix(route)
	if err != nil {
		return -1
	}
	for i, w := range b.Routes {
		if w.slot.prefix == prefix {
			return i
		}
	}
	return -1
}
