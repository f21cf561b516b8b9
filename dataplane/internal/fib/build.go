// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import (
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// A line with its leaves is one block. From lineUnits on a page of 256 references is no larger, and costs a
// packet one memory access instead of two.
const (
	lineUnits  = 8
	lineHeader = tables.UnitBytes - tables.LeafBytesPerLine // bytes before the leaves
	denseUnits = 256 * 4 / 64
	denseBytes = 256 * 4
)

// built is what takes effect at Commit.
type built struct {
	n    *node
	made made
	from uint16
}

// pruned is a kid that has become empty.
type pruned struct {
	parent *node
	octet  byte
}

// Root is what a header holds of a table.
type Root struct {
	References [256]uint32
	Default    uint16
	Shadow     uint32 // shadow block with the root's own routes; 0 if none
}

// Build makes blocks for everything that changed since the last Commit. After an error the writer must be
// aborted, and the table too.
func (t *Table) Build(w *Writer) (Root, error) {
	var r Root
	b := builder{t: t, w: w}
	var err error
	if t.root.dirty {
		err = b.expand(&t.root, 0, 0, &r.References)
	} else {
		r.References = t.refs
		err = b.patch(&t.root, 0, r.References[:])
	}
	if err != nil {
		return r, err
	}
	if len(t.root.entries) > 0 && t.root.entries[0].place() == 1 {
		r.Default = t.root.entries[0].slot()
	}
	var m made
	if err := b.writeShadow(t.root.entries, &m); err != nil {
		return r, err
	}
	r.Shadow = m.shadow
	b.giveShadow(t.root.made)
	t.built = append(t.built, built{&t.root, m, 0})
	t.next = r.References
	return r, nil
}

// Dirty says whether anything changed since the last Commit.
func (t *Table) Dirty() bool { return t.root.stale() }

// Commit is called once packets see what Build returned.
func (t *Table) Commit() {
	if len(t.built) > 0 {
		t.refs = t.next
	}
	for _, b := range t.built {
		b.n.made, b.n.from, b.n.dirty = b.made, b.from, false
		if b.n.kids != nil {
			b.n.kids.touched = set{}
		}
	}
	for _, p := range t.pruned {
		p.parent.dropKid(p.octet)
	}
	t.built, t.pruned = nil, nil
}

// Abort forgets what Build made.
func (t *Table) Abort() { t.built, t.pruned = nil, nil }

type builder struct {
	t *Table
	w *Writer
}

// node returns the reference for a node that inherits a slot, building it if it must.
func (b *builder) node(n *node, depth int, from uint16) (uint32, error) {
	old := n.made.ref
	if !n.stale() && n.from == from && old != 0 {
		return old, nil
	}
	var refs [256]uint32
	var err error
	if !n.dirty && n.from == from && old&tables.KindMask == tables.KindDense {
		copy(refs[:], b.w.Memory.Words32(old&^tables.KindMask*uint32(tables.UnitBytes), 256))
		err = b.patch(n, depth, refs[:])
	} else {
		err = b.expand(n, depth, from, &refs)
	}
	if err != nil {
		return 0, err
	}
	m, err := b.encode(depth, &refs)
	if err != nil {
		return 0, err
	}
	if err := b.moveShadow(n, &m); err != nil {
		return 0, err
	}
	b.retire(n.made)
	b.t.built = append(b.t.built, built{n, m, from})
	return m.ref, nil
}

// expand fills in what each octet leads to.
func (b *builder) expand(n *node, depth int, from uint16, refs *[256]uint32) error {
	n.spread(depth, from, refs)
	var err error
	n.eachKid(func(octet byte, k *node) bool {
		if b.hollow(k) {
			b.bury(n, octet, k)
			return true
		}
		refs[octet], err = b.node(k, depth+1, uint16(refs[octet]))
		return err == nil
	})
	return err
}

// patch brings the references of a node whose own routes did not change up to date: only kids that were
// touched are visited, as the others may be hundreds.
func (b *builder) patch(n *node, depth int, refs []uint32) error {
	return n.eachTouched(func(octet byte, k *node) error {
		from := uint16(refs[octet])
		if refs[octet]&tables.KindMask != tables.KindLeaf {
			from = k.from
		}
		if b.hollow(k) {
			b.bury(n, octet, k)
			refs[octet] = uint32(from)
			return nil
		}
		ref, err := b.node(k, depth+1, from)
		refs[octet] = ref
		return err
	})
}

// spread fills in the node's own routes over what it inherits.
func (n *node) spread(depth int, from uint16, refs *[256]uint32) {
	for i := range refs {
		refs[i] = uint32(from)
	}
	for _, e := range n.entries {
		if depth == 0 && e.place() == 1 {
			continue // the default route is in the header
		}
		lo, hi := e.span()
		for i := lo; i < hi; i++ {
			refs[i] = uint32(e.slot())
		}
	}
}

// hollow says whether nothing is left at or below a node.
func (b *builder) hollow(n *node) bool {
	if len(n.entries) > 0 {
		return false
	}
	return n.eachKid(func(_ byte, k *node) bool { return b.hollow(k) })
}

// bury gives up a hollow node with everything below.
func (b *builder) bury(parent *node, octet byte, n *node) {
	n.eachKid(func(o byte, k *node) bool {
		b.bury(n, o, k)
		return true
	})
	b.giveShadow(n.made)
	b.retire(n.made)
	b.t.pruned = append(b.t.pruned, pruned{parent, octet})
}

// encode writes a node in the cheapest form that holds it.
func (b *builder) encode(depth int, refs *[256]uint32) (made, error) {
	runs, width := measure(refs)
	if depth == 1 || blockUnits(runs, width) > lineUnits {
		return b.encodeDense(refs)
	}
	return b.encodeLine(refs, runs, width)
}

// measure counts the runs and returns the bytes that a leaf needs: 1, 2 or 4.
func measure(refs *[256]uint32) (runs, width int) {
	runs = 1
	all := refs[0]
	for i := 1; i < 256; i++ {
		if refs[i] != refs[i-1] {
			runs++
			all |= refs[i]
		}
	}
	switch {
	case all < 1<<8:
		return runs, 1
	case all < 1<<16:
		return runs, 2
	}
	return runs, 4
}

// blockUnits is the size of a line with its leaves.
func blockUnits(runs, width int) int { return unitsFor(lineHeader + runs*width) }

func (b *builder) encodeDense(refs *[256]uint32) (made, error) {
	unit, err := b.w.Take(denseUnits)
	if err != nil {
		return made{}, err
	}
	copy(b.w.Memory.Words32(unit*uint32(tables.UnitBytes), 256), refs[:])
	return made{ref: unit | tables.KindDense, units: denseUnits}, nil
}

func (b *builder) encodeLine(refs *[256]uint32, runs, width int) (made, error) {
	units := blockUnits(runs, width)
	unit, err := b.w.Take(units)
	if err != nil {
		return made{}, err
	}
	leaves := leavesAt(b.w.Memory, unit, runs, width)
	fill(b.w.Memory.Line(unit), refs, &leaves)
	return made{ref: unit | lineKind(width, units > 1), units: uint16(units)}, nil
}

// lineKind is the kind of a line with leaves of 1, 2 or 4 bytes.
func lineKind(width int, long bool) uint32 {
	if long {
		return [...]uint32{tables.KindByteLong, tables.KindNarrowLong, tables.KindWideLong}[width/2]
	}
	return [...]uint32{tables.KindByte, tables.KindNarrow, tables.KindWide}[width/2]
}

// leaves are the answers of a line, of which only one is not nil.
type leaves struct {
	bytes  []byte
	halves []uint16
	words  []uint32
}

func leavesAt(m *tables.Memory, unit uint32, runs, width int) leaves {
	offset := unit*uint32(tables.UnitBytes) + uint32(lineHeader)
	switch width {
	case 1:
		return leaves{bytes: m.Bytes(offset, runs)}
	case 2:
		return leaves{halves: m.Words16(offset, runs)}
	}
	return leaves{words: m.Words32(offset, runs)}
}

func (l *leaves) get(i int) uint32 {
	switch {
	case l.bytes != nil:
		return uint32(l.bytes[i])
	case l.halves != nil:
		return uint32(l.halves[i])
	}
	return l.words[i]
}

func (l *leaves) put(i int, ref uint32) {
	switch {
	case l.bytes != nil:
		l.bytes[i] = byte(ref)
	case l.halves != nil:
		l.halves[i] = uint16(ref)
	default:
		l.words[i] = ref
	}
}

// fill writes the bitmap and the leaves.
func fill(l *tables.Line, refs *[256]uint32, to *leaves) {
	var starts [4]uint64
	ranks, rank := uint32(0), 0
	for i, ref := range refs {
		if i%64 == 0 {
			ranks |= uint32(rank) << (i / 64 * 8)
		}
		if i > 0 && ref == refs[i-1] {
			continue
		}
		starts[i/64] |= 1 << (i % 64)
		to.put(rank, ref)
		rank++
	}
	l.Starts, l.Ranks = starts, ranks
}

// retire gives up the block that packets read.
func (b *builder) retire(m made) {
	if m.ref != 0 {
		b.w.Give(m.ref&^tables.KindMask, int(m.units))
	}
}

// moveShadow gives the new block its routes: the old shadow block when they did not change.
func (b *builder) moveShadow(n *node, m *made) error {
	if !n.dirty && n.made.ref != 0 {
		m.shadow, m.shadowWords = n.made.shadow, n.made.shadowWords
	} else {
		if err := b.writeShadow(n.entries, m); err != nil {
			return err
		}
		b.giveShadow(n.made)
	}
	b.w.Memory.Shadow.Blocks[m.ref&^tables.KindMask] = m.shadow
	return nil
}

func (b *builder) giveShadow(m made) {
	if m.shadow != 0 {
		b.w.GiveShadow(m.shadow, 4*int(m.shadowWords))
	}
}

// writeShadow stores entries, if there are any.
func (b *builder) writeShadow(entries []entry, m *made) error {
	if len(entries) == 0 {
		return nil
	}
	n := 1 + len(entries)
	unit, err := b.w.TakeShadow(4 * n)
	if err != nil {
		return err
	}
	words := b.w.Memory.ShadowWords(unit, n)
	words[0] = uint32(len(entries))
	for i, e := range entries {
		words[1+i] = uint32(e &^ entryMark)
	}
	m.shadow, m.shadowWords = unit, uint16(n)
	return nil
}
