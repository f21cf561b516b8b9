// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import "net/netip"

// entry is one route of a node, packed as the shadow keeps it:
//
//	bits 0–15   group slot
//	bits 16–24  place: 1 followed by the prefix's bits within the node's octet
//	bit 30      the route is derived from a neighbour, not programmed
//	bit 31      mark (daemon's memory only)
type entry uint32

const (
	entryDerived entry = 1 << 30
	entryMark    entry = 1 << 31
)

func makeEntry(place int, layer Layer, slot uint16) entry {
	return entry(layer)<<30 | entry(place)<<16 | entry(slot)
}

func (e entry) slot() uint16       { return uint16(e) }
func (e entry) place() int         { return int(e >> 16 & 0x1ff) }
func (e entry) previous() Previous { return Previous{e.slot(), e&entryMark != 0} }

func (e *entry) mark(marked bool) {
	*e &^= entryMark
	if marked {
		*e |= entryMark
	}
}

func (e entry) layer() Layer { return Layer(e >> 30 & 1) }

// key orders a node's entries: programmed before derived, short before long.
func (e entry) key() uint32 { return uint32(e&^entryMark) >> 16 }

// span is the range of octets [from, to) that the entry covers.
func (e entry) span() (from, to int) { return placeSpan(e.place()) }

func placeSpan(place int) (from, to int) {
	bits := 0
	for place>>bits > 1 {
		bits++
	}
	size := 256 >> bits
	from = (place - 1<<bits) * size
	return from, from + size
}

// Layer tells programmed routes from those that the dataplane adds for neighbours. The latter win
// over a programmed route of the same prefix and are never swept.
type Layer uint8

// The layers.
const (
	Programmed Layer = 0
	Derived    Layer = 1
)

// locate gives the depth of the node that holds a prefix, and its place there.
func locate(key []byte, bits int) (depth, place int) {
	if bits == 0 {
		return 0, 1
	}
	depth = (bits - 1) / 8
	in := bits - 8*depth
	return depth, 1<<in | int(key[depth])>>(8-in)
}

// prefixOf is the inverse of locate: path holds the octets above the node.
func prefixOf(path []byte, place int, v6 bool) netip.Prefix {
	bits := 0
	for place>>bits > 1 {
		bits++
	}
	var a [16]byte
	copy(a[:], path)
	if bits > 0 {
		a[len(path)] = byte((place - 1<<bits) << (8 - bits))
	}
	if v6 {
		return netip.PrefixFrom(netip.AddrFrom16(a), len(path)*8+bits)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(a[:4])), len(path)*8+bits)
}
