// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
)

// set is next hops that are used together, shared by every path that names the same.
type set struct {
	key    string
	kind   fib.Action
	hops   []NextHop    // sorted, without duplicates, weights at least 1
	except netip.Prefix // the set's own route where that covers one of its addresses; else invalid

	group   *fib.Group
	outcome outcome

	paths *path
	count int
	dirty bool

	addresses  []netip.Addr // looked up for the outcome
	interfaces []string     // used for it
}

// outcome is what a set resolves to.
type outcome struct {
	ok      bool
	content fib.Content
	reason  string   // why not, or which next hops of several are missing
	missing []string // of each next hop, in the set's order; empty when it can be used
}

func (s *set) link(p *path) {
	p.setNext = s.paths
	if s.paths != nil {
		s.paths.setPrev = p
	}
	s.paths = p
	s.count++
}

func (s *set) unlink(p *path) {
	if p.setPrev != nil {
		p.setPrev.setNext = p.setNext
	} else {
		s.paths = p.setNext
	}
	if p.setNext != nil {
		p.setNext.setPrev = p.setPrev
	}
	p.setPrev, p.setNext = nil, nil
	s.count--
}

// normal sorts next hops, merges duplicates and makes weights explicit, in place.
func normal(hops []NextHop) []NextHop {
	for i := range hops {
		hops[i].Address = hops[i].Address.Unmap()
		hops[i].Weight = min(max(hops[i].Weight, 1), maxWeight)
	}
	if len(hops) < 2 {
		return hops
	}
	slices.SortFunc(hops, func(a, b NextHop) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.Address.Compare(b.Address))
	})
	out := hops[:1]
	for _, h := range hops[1:] {
		last := &out[len(out)-1]
		if last.Interface == h.Interface && last.Address == h.Address {
			last.Weight = min(last.Weight+h.Weight, maxWeight)
			continue
		}
		out = append(out, h)
	}
	return out
}

// selfCovered returns the route's prefix when it covers an address that the route needs the table for.
func selfCovered(prefix netip.Prefix, hops []NextHop) netip.Prefix {
	for _, h := range hops {
		if h.Interface == "" && prefix.Contains(h.Address) {
			return prefix
		}
	}
	return netip.Prefix{}
}

// appendKey makes the bytes under which equal sets are found.
func appendKey(b []byte, kind fib.Action, hops []NextHop, except netip.Prefix) []byte {
	b = append(b, byte(kind))
	for _, h := range hops {
		b = append(b, byte(h.Address.BitLen()))
		b = append(b, h.Address.AsSlice()...)
		b = binary.BigEndian.AppendUint32(b, h.Weight)
		b = binary.AppendUvarint(b, uint64(len(h.Interface)))
		b = append(b, h.Interface...)
	}
	if except.IsValid() {
		b = append(b, 0xff, byte(except.Bits()))
		b = append(b, except.Addr().AsSlice()...)
	}
	return b
}
