// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"net/netip"
	"slices"
	"unsafe"

	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// transaction is one step from a generation to the next, or to nothing.
type transaction struct {
	e       *Engine
	undo    []undo
	changes map[uint16]*slotChange
	touched []netip.Prefix // prefixes whose neighbours may need another decision
	all     bool           // every neighbour may
	renamed []rename
	header  bool // the header must be written even if no table changed
}

type undo struct {
	key      [16]byte
	bits     uint8
	v6       bool
	layer    fib.Layer
	now      uint16 // slot it has now, 0: withdrawn
	previous fib.Previous
}

// rename is a group that changed its id, to be undone.
type rename struct {
	g      *group
	id     uint32
	marked bool
}

// transact runs f under the caller's lock and publishes what it staged; after an error nothing has changed.
func (e *Engine) transact(f func(*transaction) error) error {
	t := &transaction{e: e, changes: map[uint16]*slotChange{}}
	err := f(t)
	if err == nil {
		err = t.decideHosts()
	}
	if err == nil {
		err = t.publish()
	}
	if err != nil {
		t.rollback()
	}
	return err
}

// set stores a route.
func (t *transaction) set(v6 bool, key []byte, bits int, layer fib.Layer, g *group, marked bool) {
	p := t.e.table(v6).Set(key, bits, layer, g.slot, marked)
	if p.Slot == g.slot && p.Marked == marked {
		return
	}
	t.note(v6, key, bits, layer, g.slot, p)
}

// unset withdraws a route.
func (t *transaction) unset(v6 bool, key []byte, bits int, layer fib.Layer) {
	p := t.e.table(v6).Delete(key, bits, layer)
	if p.Slot != 0 {
		t.note(v6, key, bits, layer, 0, p)
	}
}

func (t *transaction) note(v6 bool, key []byte, bits int, layer fib.Layer, now uint16, p fib.Previous) {
	u := undo{bits: uint8(bits), v6: v6, layer: layer, now: now, previous: p}
	copy(u.key[:], key)
	t.undo = append(t.undo, u)
	if now == p.Slot {
		return
	}
	t.count(now, +1)
	t.count(p.Slot, -1)
	if layer == fib.Programmed && t.e.addresses.Size() > 0 && !t.all {
		t.touch(key, bits)
	}
}

// touch remembers a changed prefix for the neighbours inside.
func (t *transaction) touch(key []byte, bits int) {
	if len(t.touched) >= t.e.addresses.Size() {
		t.all, t.touched = true, nil
		return
	}
	a, _ := netip.AddrFromSlice(key)
	t.touched = append(t.touched, netip.PrefixFrom(a, bits))
}

func (t *transaction) count(slot uint16, by int) {
	if g := t.e.groups.slots[slot]; g != nil {
		g.routes += by
	}
}

// place puts a group into a slot, or empties it with nil.
func (t *transaction) place(slot uint16, g *group) {
	old := t.e.groups.slots[slot]
	if c := t.changes[slot]; c != nil {
		// Replaced twice in one transaction: what stood in between was never seen.
		if c.new != nil {
			c.new.release(t.e.hops)
		}
		c.new = g
	} else {
		t.changes[slot] = &slotChange{slot, old, g}
	}
	if g != nil && old != nil {
		g.routes = old.routes
	}
	t.e.groups.slots[slot] = g
	for _, x := range []*group{old, g} {
		if x != nil && x.Action == Connected {
			t.all = true
		}
	}
}

// publish builds the next generation and shows it to packets.
func (t *transaction) publish() error {
	e := t.e
	if e.header != 0 && !t.header && !e.v4.Dirty() && !e.v6.Dirty() && len(t.changes) == 0 {
		t.settle()
		return nil
	}
	err := t.tryPublish()
	var full *fib.LimitError
	if errors.As(err, &full) && e.reclaimNow() {
		err = t.tryPublish()
	}
	return err
}

const headerUnits = (int(unsafe.Sizeof(tables.Header{})) + tables.UnitBytes - 1) / tables.UnitBytes

func (t *transaction) tryPublish() (err error) {
	e := t.e
	w := e.space.Writer()
	defer func() {
		if err != nil {
			w.Abort()
			e.v4.Abort()
			e.v6.Abort()
		}
	}()
	unit, err := w.Take(headerUnits)
	if err != nil {
		return err
	}
	roots := e.roots
	for i, table := range []*fib.Table{e.v4, e.v6} {
		if table.Dirty() {
			if roots[i], err = table.Build(w); err != nil {
				return err
			}
		}
	}
	h := e.memory.Header(unit)
	e.fillHeader(h, unit, &roots)
	pages, err := e.groups.build(w, h, t.list())
	if err != nil {
		return err
	}
	if e.header != 0 {
		w.Give(e.header, headerUnits)
	}
	e.memory.Flip(unit, h.Sequence)
	e.header, e.sequence, e.roots = unit, h.Sequence, roots
	w.Commit()
	e.v4.Commit()
	e.v6.Commit()
	for _, p := range pages {
		e.groups.pages[p.index] = p.page
	}
	e.transactions++
	t.settle()
	return nil
}

func (e *Engine) fillHeader(h *tables.Header, unit uint32, roots *[2]fib.Root) {
	*h = tables.Header{
		V4: roots[0].References, V6: roots[1].References,
		DefaultV4: uint32(roots[0].Default), DefaultV6: uint32(roots[1].Default),
		Sequence: e.sequence + 1, Programmer: e.synced,
		RoutesV4: uint64(e.v4.Len(fib.Programmed)), RoutesV6: uint64(e.v6.Len(fib.Programmed)),
	}
	for i, p := range e.groups.pages {
		h.Groups[i] = p.unit
	}
	e.memory.Shadow.Blocks[unit], e.memory.Shadow.Blocks[unit+1] = roots[0].Shadow, roots[1].Shadow
}

// list is the changed slots in order.
func (t *transaction) list() []slotChange {
	l := make([]slotChange, 0, len(t.changes))
	for _, c := range t.changes {
		l = append(l, *c)
	}
	slices.SortFunc(l, func(a, b slotChange) int { return int(a.slot) - int(b.slot) })
	return l
}

// settle makes the daemon's books follow what packets see.
func (t *transaction) settle() {
	e := t.e
	for _, c := range t.changes {
		if c.old != nil {
			c.old.release(e.hops)
		}
		if c.new == nil {
			e.groups.free.put(uint32(c.slot))
		}
	}
	for _, r := range t.renamed {
		if t.changes[r.g.slot] == nil {
			r.g.writeID(e.memory)
		}
	}
	for _, u := range t.undo {
		if g := e.groups.slots[u.previous.Slot]; g != nil && g.routes == 0 && !g.derived && u.previous.Slot != u.now {
			e.rest(g)
		}
	}
	if len(t.changes) > 0 || len(t.undo) > 0 {
		e.signal()
	}
	poke(e.reclaim)
}

// rollback puts everything back.
func (t *transaction) rollback() {
	e := t.e
	for _, u := range slices.Backward(t.undo) {
		octets := 4
		if u.v6 {
			octets = 16
		}
		e.table(u.v6).Undo(u.key[:octets], int(u.bits), u.layer, u.previous)
		if u.now != u.previous.Slot {
			t.count(u.now, -1)
			t.count(u.previous.Slot, +1)
		}
	}
	for _, c := range t.changes {
		if c.new != nil {
			c.new.release(e.hops)
			e.forget(c.new)
		}
		if e.groups.slots[c.slot] = c.old; c.old == nil {
			e.groups.free.put(uint32(c.slot))
		} else {
			e.remember(c.old)
		}
	}
	for _, r := range slices.Backward(t.renamed) {
		delete(e.groups.byID, r.g.ID)
		r.g.ID, r.g.marked = r.id, r.marked
	}
}

// remember enters a programmed group into the indexes.
func (e *Engine) remember(g *group) {
	switch {
	case g.derived:
		e.hosts[g.Hops[0].Address] = g
		return
	case g.marked:
		e.groups.byID[g.ID] = g
	}
	e.groups.byContent[g.content()] = g
}

// forget is the inverse.
func (e *Engine) forget(g *group) {
	switch {
	case g.derived:
		if e.hosts[g.Hops[0].Address] == g {
			delete(e.hosts, g.Hops[0].Address)
		}
		return
	case e.groups.byID[g.ID] == g:
		delete(e.groups.byID, g.ID)
	}
	if c := g.content(); e.groups.byContent[c] == g {
		delete(e.groups.byContent, c)
	}
}
