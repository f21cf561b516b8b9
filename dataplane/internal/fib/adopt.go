// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import (
	"fmt"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// Adopt makes a table of what packets see, and reserves every block it uses. Blocks that do not hold what
// their routes say are built again by the next Build. An error means that the memory cannot be trusted.
func Adopt(s *Space, v View) (*Table, error) {
	t := NewTable(v.V6)
	var err error
	if t.root.entries, err = readShadow(s.Memory, v.Root.Shadow, &t.root.made); err != nil {
		return nil, err
	}
	if err := reserve(s, t.root.made); err != nil {
		return nil, err
	}
	t.refs = v.Root.References
	return t, t.adopt(s, &t.root, 0, 0, &v.Root.References)
}

// adopt takes over what is below a node, whose entries are read already.
func (t *Table) adopt(s *Space, n *node, depth int, from uint16, refs *[256]uint32) error {
	n.from = from
	for _, e := range n.entries {
		t.count[e.layer()]++
	}
	var own [256]uint32
	n.spread(depth, from, &own)
	for octet, ref := range refs {
		if ref&tables.KindMask == tables.KindLeaf {
			n.dirty = n.dirty || ref != own[octet]
			continue
		}
		if depth+1 >= t.octets {
			return fmt.Errorf("fib: reference %#x below the last octet", ref)
		}
		k, err := t.adoptKid(s, ref, depth+1, uint16(own[octet]))
		if err != nil {
			return err
		}
		n.addKid(byte(octet), k)
		if k.stale() {
			n.kids.touched.add(byte(octet))
		}
	}
	return nil
}

func (t *Table) adoptKid(s *Space, ref uint32, depth int, from uint16) (*node, error) {
	k := &node{}
	var refs [256]uint32
	if err := read(s.Memory, ref, &refs, &k.made); err != nil {
		return nil, err
	}
	var err error
	if k.entries, err = readShadow(s.Memory, s.Memory.Shadow.Blocks[ref&^tables.KindMask], &k.made); err != nil {
		return nil, err
	}
	if err := reserve(s, k.made); err != nil {
		return nil, err
	}
	return k, t.adopt(s, k, depth, from, &refs)
}

// reserve takes the blocks of a node; a block that two nodes claim is an error.
func reserve(s *Space, m made) error {
	ok := m.ref == 0 || s.Reserve(m.ref&^tables.KindMask, int(m.units))
	if ok && m.shadow != 0 {
		ok = s.ReserveShadow(m.shadow, 4*int(m.shadowWords))
	}
	if !ok {
		return fmt.Errorf("fib: block of reference %#x belongs to two", m.ref)
	}
	return nil
}
