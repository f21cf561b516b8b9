// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import (
	"fmt"
	"math/bits"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// What packets see, read back. These functions trust nothing they read: a reference, a rank or a count that
// cannot be is an error, never a panic.

// View reads one family of one generation.
type View struct {
	Memory *tables.Memory
	Root   Root
	V6     bool
}

// Views returns both families of a header, which begins at a unit.
func Views(m *tables.Memory, unit uint32) (v4, v6 View) {
	h := m.Header(unit)
	v4 = View{m, Root{h.V4, uint16(h.DefaultV4), m.Shadow.Blocks[unit]}, false}
	v6 = View{m, Root{h.V6, uint16(h.DefaultV6), m.Shadow.Blocks[unit+1]}, true}
	return v4, v6
}

// Lookup follows the same references as a packet and returns the group slot, 0 for no route.
func (v View) Lookup(key []byte) (uint16, error) {
	ref := v.Root.References[key[0]]
	for _, octet := range key[1:] {
		if ref&tables.KindMask == tables.KindLeaf {
			break
		}
		var err error
		if ref, err = step(v.Memory, ref, octet); err != nil {
			return 0, err
		}
	}
	if ref&tables.KindMask != tables.KindLeaf {
		return 0, fmt.Errorf("fib: reference %#x below the last octet", ref)
	}
	if ref == 0 {
		return v.Root.Default, nil
	}
	return uint16(ref), nil
}

func step(m *tables.Memory, ref uint32, octet byte) (uint32, error) {
	var refs [256]uint32
	if err := read(m, ref, &refs, nil); err != nil {
		return 0, err
	}
	return refs[octet], nil
}

// read decodes the node behind a reference. What it occupies is stored in held, if that is not nil.
func read(m *tables.Memory, ref uint32, refs *[256]uint32, held *made) error {
	unit, kind := ref&^tables.KindMask, ref&tables.KindMask
	offset := uint64(unit) * uint64(tables.UnitBytes)
	size := tables.UnitBytes
	if kind == tables.KindDense {
		size = denseBytes
	}
	if kind == tables.KindLeaf || !tables.Valid(offset, size) {
		return fmt.Errorf("fib: reference %#x leaves the arena", ref)
	}
	if held != nil {
		held.ref, held.units = ref, denseUnits
	}
	if kind == tables.KindDense {
		copy(refs[:], m.Words32(uint32(offset), 256))
		return nil
	}
	return readLine(m, unit, kind, refs, held)
}

func readLine(m *tables.Memory, unit, kind uint32, refs *[256]uint32, held *made) error {
	l := m.Line(unit)
	runs, ranks := 0, uint32(0)
	for w, s := range l.Starts {
		ranks |= uint32(runs) << (w * 8)
		runs += bits.OnesCount64(s)
	}
	width := widthOf(kind)
	units := blockUnits(runs, width)
	switch {
	case l.Starts[0]&1 == 0 || l.Ranks != ranks:
		return fmt.Errorf("fib: line %d has wrong ranks", unit)
	case kind != lineKind(width, units > 1), !tables.Valid(uint64(unit)*uint64(tables.UnitBytes), units*tables.UnitBytes):
		return fmt.Errorf("fib: line %d has %d runs", unit, runs)
	}
	if held != nil {
		held.units = uint16(units)
	}
	rank, leaves := -1, leavesAt(m, unit, runs, width)
	for i := range refs {
		rank += int(l.Starts[i/64] >> (i % 64) & 1)
		refs[i] = leaves.get(rank)
	}
	return nil
}

// widthOf is the inverse of lineKind.
func widthOf(kind uint32) int {
	switch kind {
	case tables.KindByte, tables.KindByteLong:
		return 1
	case tables.KindNarrow, tables.KindNarrowLong:
		return 2
	}
	return 4
}

// readShadow decodes the routes of a node; unit 0 has none.
func readShadow(m *tables.Memory, unit uint32, held *made) ([]entry, error) {
	if unit == 0 {
		return nil, nil
	}
	if int(unit) >= tables.ShadowUnits {
		return nil, fmt.Errorf("fib: shadow unit %d is out of range", unit)
	}
	n := int(m.ShadowWords(unit, 1)[0])
	if n == 0 || n > 1024 || (int(unit)+shadowUnits(4+4*n)) > tables.ShadowUnits {
		return nil, fmt.Errorf("fib: shadow unit %d has %d routes", unit, n)
	}
	if held != nil {
		held.shadow, held.shadowWords = unit, uint16(1+n)
	}
	entries := make([]entry, n)
	for i, w := range m.ShadowWords(unit, 1+n)[1:] {
		entries[i] = entry(w)
		if i > 0 && entries[i].key() <= entries[i-1].key() || entries[i].place() == 0 || entries[i]&entryMark != 0 {
			return nil, fmt.Errorf("fib: shadow unit %d has route %#x out of order", unit, w)
		}
	}
	return entries, nil
}

// Walk calls f for each route of the view until it returns false: the routes as they are kept beside the
// blocks that packets see.
func (v View) Walk(f func(Route) bool) error {
	entries, err := readShadow(v.Memory, v.Root.Shadow, nil)
	if err != nil {
		return err
	}
	_, err = v.walk(nil, entries, &v.Root.References, f)
	return err
}

func (v View) walk(path []byte, entries []entry, refs *[256]uint32, f func(Route) bool) (bool, error) {
	for _, e := range entries {
		if !f(Route{prefixOf(path, e.place(), v.V6), e.slot(), e.layer(), false}) {
			return false, nil
		}
	}
	for octet, ref := range refs {
		if ref&tables.KindMask == tables.KindLeaf {
			continue
		}
		if len(path)+1 >= v.octets() {
			return false, fmt.Errorf("fib: reference %#x below the last octet", ref)
		}
		var below [256]uint32
		if err := read(v.Memory, ref, &below, nil); err != nil {
			return false, err
		}
		entries, err := readShadow(v.Memory, v.Memory.Shadow.Blocks[ref&^tables.KindMask], nil)
		if err != nil {
			return false, err
		}
		if more, err := v.walk(append(path[:len(path):len(path)], byte(octet)), entries, &below, f); !more || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (v View) octets() int {
	if v.V6 {
		return 16
	}
	return 4
}

// WalkOctet calls f for the routes longer than eight bits below a first octet.
func (v View) WalkOctet(octet byte, f func(Route) bool) error {
	one := v
	one.Root.References = [256]uint32{}
	one.Root.References[octet] = v.Root.References[octet]
	_, err := one.walk(nil, nil, &one.Root.References, f)
	return err
}

// WalkShort calls f for the routes of at most eight bits.
func (v View) WalkShort(f func(Route) bool) error {
	short := v
	short.Root.References = [256]uint32{}
	return short.Walk(f)
}

// Match returns the route that decides about an address, false if there is none.
func (v View) Match(key []byte) (Route, bool, error) {
	var best Route
	entries, err := readShadow(v.Memory, v.Root.Shadow, nil)
	refs := v.Root.References
	for depth := 0; err == nil; depth++ {
		for in := 0; in <= 8; in++ {
			place := 1<<in | int(key[depth])>>(8-in)
			for _, e := range entries {
				if e.place() == place {
					best = Route{prefixOf(key[:depth], place, v.V6), e.slot(), e.layer(), false}
				}
			}
		}
		ref := refs[key[depth]]
		if ref&tables.KindMask == tables.KindLeaf || depth+1 >= v.octets() {
			break
		}
		if err = read(v.Memory, ref, &refs, nil); err == nil {
			entries, err = readShadow(v.Memory, v.Memory.Shadow.Blocks[ref&^tables.KindMask], nil)
		}
	}
	return best, best.Slot != 0, err
}
