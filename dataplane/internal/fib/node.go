// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import (
	"math/bits"
	"slices"
)

// node is one octet's worth of the trie, in the daemon's memory. A full table has some hundred thousand.
type node struct {
	entries []entry // sorted by key
	kids    *kids   // nil when there are none
	made    made
	from    uint16 // the slot it inherited when it was made
	dirty   bool   // what is made of it must be made anew, whatever its kids
}

// kids are the nodes below, by octet.
type kids struct {
	list    []*node // one for each bit of mask, in order
	mask    set
	touched set // those that must be made anew, or looked at for it
}

// set is a set of octets.
type set [4]uint64

func (s *set) has(octet byte) bool { return s[octet/64]>>(octet%64)&1 != 0 }
func (s *set) add(octet byte)      { s[octet/64] |= 1 << (octet % 64) }
func (s *set) remove(octet byte)   { s[octet/64] &^= 1 << (octet % 64) }

// rank is the number of members below an octet.
func (s *set) rank(octet byte) int {
	w := octet / 64
	r := bits.OnesCount64(s[w] & (1<<(octet%64) - 1))
	for i := range w {
		r += bits.OnesCount64(s[i])
	}
	return r
}

// made is what packets see of a node, and the blocks that holds. Sizes are kept here, so that a damaged
// table can be given up without reading it.
type made struct {
	ref         uint32 // 0 when nothing was built
	units       uint16 // of its block
	shadowWords uint16
	shadow      uint32 // shadow unit; 0 when there are no routes
}

// stale says whether anything here or below changed since it was made.
func (n *node) stale() bool { return n.dirty || n.kids != nil && n.kids.touched != set{} }

// kid returns nil when there is none.
func (n *node) kid(octet byte) *node {
	if n.kids == nil || !n.kids.mask.has(octet) {
		return nil
	}
	return n.kids.list[n.kids.mask.rank(octet)]
}

func (n *node) addKid(octet byte, k *node) {
	if n.kids == nil {
		n.kids = &kids{}
	}
	n.kids.list = slices.Insert(n.kids.list, n.kids.mask.rank(octet), k)
	n.kids.mask.add(octet)
}

func (n *node) dropKid(octet byte) {
	at := n.kids.mask.rank(octet)
	n.kids.list = slices.Delete(n.kids.list, at, at+1)
	n.kids.mask.remove(octet)
	n.kids.touched.remove(octet)
	if len(n.kids.list) == 0 {
		n.kids = nil
	}
}

// eachKid calls f for the kids in order.
func (n *node) eachKid(f func(octet byte, k *node) bool) bool {
	if n.kids == nil {
		return true
	}
	i := 0
	for w, m := range n.kids.mask {
		for ; m != 0; m &= m - 1 {
			if !f(byte(w*64+bits.TrailingZeros64(m)), n.kids.list[i]) {
				return false
			}
			i++
		}
	}
	return true
}

// eachTouched calls f for the kids that may have changed, in order.
func (n *node) eachTouched(f func(octet byte, k *node) error) error {
	if n.kids == nil {
		return nil
	}
	for w, m := range n.kids.touched {
		for ; m != 0; m &= m - 1 {
			octet := byte(w*64 + bits.TrailingZeros64(m))
			if err := f(octet, n.kid(octet)); err != nil {
				return err
			}
		}
	}
	return nil
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
