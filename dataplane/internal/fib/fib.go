// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package fib keeps the routes of one address family as a trie of eight-bit strides and builds from it
// the lines and pages that packets read.
//
// A Table remembers what it was told (entries) and what packets see of it (references). Build makes new
// blocks for what changed and leaves everything in use as it is; the caller publishes the root it
// returns and then calls Commit, or Abort as if nothing had happened. A route maps to a group slot; slot 0
// means none. Routes of length 0 never enter the blocks: the header carries them, so that a new default
// costs nothing.
//
// Nothing here is safe for concurrent use, and no function keeps the keys it is given.
package fib

import "net/netip"

// Table is the routes of one family.
type Table struct {
	v6     bool
	octets int
	root   node
	refs   [256]uint32 // the root's references, as packets see them
	next   [256]uint32 // as they will be after Commit
	count  [2]int      // by layer
	built  []built
	pruned []pruned
}

// NewTable makes an empty table.
func NewTable(v6 bool) *Table {
	t := &Table{v6: v6, octets: 4}
	if v6 {
		t.octets = 16
	}
	return t
}

// Len is the number of routes in a layer.
func (t *Table) Len(l Layer) int { return t.count[l] }

// Previous is what a change found in a route's place: enough to undo it.
type Previous struct {
	Slot   uint16 // 0: there was no route
	Marked bool
}

// Set stores a route, marked or not, and returns what it replaced. The key has 4 or 16 octets.
func (t *Table) Set(key []byte, bits int, layer Layer, slot uint16, marked bool) Previous {
	depth, place := locate(key, bits)
	// What is unchanged must not be built again: look first.
	if e := t.entry(key, depth, place, layer); e != nil && e.slot() == slot {
		p := e.previous()
		e.mark(marked)
		return p
	}
	n := &t.root
	for _, octet := range key[:depth] {
		k := n.kid(octet)
		if k == nil {
			k = &node{}
			n.addKid(octet, k)
		}
		n.kids.touched.add(octet)
		n = k
	}
	n.dirty = true
	p := n.set(place, layer, slot, marked)
	if p.Slot == 0 {
		t.count[layer]++
	}
	return p
}

// Delete removes a route and returns what was there.
func (t *Table) Delete(key []byte, bits int, layer Layer) Previous {
	depth, place := locate(key, bits)
	if t.entry(key, depth, place, layer) == nil {
		return Previous{}
	}
	n := &t.root
	for _, octet := range key[:depth] {
		n.kids.touched.add(octet)
		n = n.kid(octet)
	}
	n.dirty = true
	t.count[layer]--
	return n.unset(place, layer)
}

// Undo puts back what Set or Delete returned.
func (t *Table) Undo(key []byte, bits int, layer Layer, p Previous) {
	if p.Slot == 0 {
		t.Delete(key, bits, layer)
		return
	}
	t.Set(key, bits, layer, p.Slot, p.Marked)
}

func (t *Table) node(key []byte, depth int) *node {
	n := &t.root
	for _, octet := range key[:depth] {
		if n = n.kid(octet); n == nil {
			return nil
		}
	}
	return n
}

func (t *Table) entry(key []byte, depth, place int, layer Layer) *entry {
	n := t.node(key, depth)
	if n == nil {
		return nil
	}
	if i, ok := n.find(place, layer); ok {
		return &n.entries[i]
	}
	return nil
}

// Get returns the slot of exactly this route, 0 if there is none.
func (t *Table) Get(key []byte, bits int, layer Layer) uint16 {
	depth, place := locate(key, bits)
	if e := t.entry(key, depth, place, layer); e != nil {
		return e.slot()
	}
	return 0
}

// Longest returns the most specific programmed route for an address: its length and slot; slot 0 if none.
func (t *Table) Longest(key []byte) (bits int, slot uint16) {
	n := &t.root
	for depth := 0; n != nil; depth++ {
		for in := 8; in >= 0; in-- {
			place := 1<<in | int(key[depth])>>(8-in)
			if i, ok := n.find(place, Programmed); ok {
				bits, slot = depth*8+in, n.entries[i].slot()
				break
			}
		}
		if depth+1 == t.octets {
			break
		}
		n = n.kid(key[depth])
	}
	return bits, slot
}

// Unmark takes the mark from every route.
func (t *Table) Unmark() { t.root.unmark() }

func (n *node) unmark() {
	for i := range n.entries {
		n.entries[i] &^= entryMark
	}
	n.eachKid(func(_ byte, k *node) bool {
		k.unmark()
		return true
	})
}

// CountSlots adds one to the count of its slot for every route of both layers.
func (t *Table) CountSlots(counts []int) { t.root.countSlots(counts) }

func (n *node) countSlots(counts []int) {
	for _, e := range n.entries {
		counts[e.slot()]++
	}
	n.eachKid(func(_ byte, k *node) bool {
		k.countSlots(counts)
		return true
	})
}

// Route is one route as Walk gives it.
type Route struct {
	Prefix netip.Prefix
	Slot   uint16
	Layer  Layer
	Marked bool
}

// Walk calls f for every route of the daemon's own copy until it returns false.
func (t *Table) Walk(f func(Route) bool) { t.root.walk(nil, t.v6, f) }

func (n *node) walk(path []byte, v6 bool, f func(Route) bool) bool {
	for _, e := range n.entries {
		if !f(Route{prefixOf(path, e.place(), v6), e.slot(), e.layer(), e&entryMark != 0}) {
			return false
		}
	}
	return n.eachKid(func(octet byte, k *node) bool {
		return k.walk(append(path[:len(path):len(path)], octet), v6, f)
	})
}
