// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import (
	"errors"
	"slices"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// Audit compares what is below one first octet with what packets see of it. Every node that differs is
// marked to be built again. It returns the nodes looked at and those that differ.
func (t *Table) Audit(m *tables.Memory, octet byte, root *[256]uint32) (looked, damaged int) {
	var own [256]uint32
	t.root.spread(0, 0, &own)
	want := own[octet]
	if k := t.root.kid(octet); k != nil {
		if looked, damaged = k.audit(m, uint16(own[octet])); damaged > 0 {
			t.root.kids.touched.add(octet)
		}
		want = k.made.ref
	}
	if root[octet] != want {
		t.root.dirty = true
		damaged++
	}
	return looked, damaged
}

func (n *node) audit(m *tables.Memory, from uint16) (looked, damaged int) {
	var want, have [256]uint32
	n.spread(1, from, &want)
	n.eachKid(func(octet byte, k *node) bool {
		l, d := k.audit(m, uint16(want[octet]))
		looked, damaged = looked+l, damaged+d
		if d > 0 {
			n.kids.touched.add(octet)
		}
		want[octet] = k.made.ref
		return true
	})
	looked++
	var held made
	err := read(m, n.made.ref, &have, &held)
	if err == nil {
		var entries []entry
		entries, err = readShadow(m, m.Shadow.Blocks[n.made.ref&^tables.KindMask], &held)
		if err == nil && (have != want || held != n.made || !slices.Equal(entries, n.plain())) {
			err = errDiffers
		}
	}
	if err != nil {
		n.dirty = true
		damaged++
	}
	return looked, damaged
}

// plain is the entries without their marks.
func (n *node) plain() []entry {
	if len(n.entries) == 0 {
		return nil
	}
	p := slices.Clone(n.entries)
	for i := range p {
		p[i] &^= entryMark
	}
	return p
}

var errDiffers = errors.New("fib: block differs from its routes")
