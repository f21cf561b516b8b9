// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import (
	"math/bits"
	"slices"
)

// node is one octet's worth of the trie, in the daemon's memory.
type node struct {
	entries []entry // sorted by key
	kids    []*node // one for each bit of mask, in order
	mask    [4]uint64
	made    made
	from    uint16 // the slot it inherited when it was made
	dirty   bool   // entries here or below changed since it was made
}

// made is what packets see of a node, and the blocks that holds. Sizes are kept here, so that a damaged
// table can be given up without reading it.
type made struct {
	ref         uint32 // 0 when nothing was built
	units       uint16 // of its block
	shadowWords uint16
	shadow      uint32 // shadow unit; 0 when there are no routes
}

func (n *node) rank(octet byte) int {
	w := octet / 64
	r := bits.OnesCount64(n.mask[w] & (1<<(octet%64) - 1))
	for i := range w {
		r += bits.OnesCount64(n.mask[i])
	}
	return r
}

func (n *node) has(octet byte) bool { return n.mask[octet/64]>>(octet%64)&1 != 0 }

// kid returns nil when there is none.
func (n *node) kid(octet byte) *node {
	if !n.has(octet) {
		return nil
	}
	return n.kids[n.rank(octet)]
}

func (n *node) addKid(octet byte, k *node) {
	n.kids = slices.Insert(n.kids, n.rank(octet), k)
	n.mask[octet/64] |= 1 << (octet % 64)
}

func (n *node) dropKid(octet byte) {
	n.kids = slices.Delete(n.kids, n.rank(octet), n.rank(octet)+1)
	n.mask[octet/64] &^= 1 << (octet % 64)
}

// eachKid calls f for the kids in order.
func (n *node) eachKid(f func(octet byte, k *node) bool) bool {
	i := 0
	for w, m := range n.mask {
		for ; m != 0; m &= m - 1 {
			if !f(byte(w*64+bits.TrailingZeros64(m)), n.kids[i]) {
				return false
			}
			i++
		}
	}
	return true
}

func (n *node) find(place int, layer Layer) (int, bool) {
	want := makeEntry(place, layer, 0).key()
	return slices.BinarySearchFunc(n.entries, want, func(e entry, k uint32) int { return int(e.key()) - int(k) })
}

// set stores a slot and returns what it replaced.
func (n *node) set(place int, layer Layer, slot uint16, marked bool) Previous {
	e := makeEntry(place, layer, slot)
	e.mark(marked)
	i, ok := n.find(place, layer)
	if ok {
		old := n.entries[i].previous()
		n.entries[i] = e
		return old
	}
	n.entries = slices.Insert(n.entries, i, e)
	return Previous{}
}

// unset removes an entry and returns what it was.
func (n *node) unset(place int, layer Layer) Previous {
	i, ok := n.find(place, layer)
	if !ok {
		return Previous{}
	}
	old := n.entries[i].previous()
	n.entries = slices.Delete(n.entries, i, i+1)
	return old
}
