// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"

	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// adopt takes over the live generation: nothing that packets see changes.
func (e *Engine) adopt(unit uint32) error {
	if !tables.Valid(uint64(unit)*uint64(tables.UnitBytes), headerUnits*tables.UnitBytes) || !e.space.Reserve(unit, headerUnits) {
		return fmt.Errorf("engine: live header at unit %d is out of range", unit)
	}
	h := e.memory.Header(unit)
	e.header, e.sequence, e.synced = unit, h.Sequence, h.Programmer
	for i, page := range h.Groups {
		if err := e.adoptPage(i, page); err != nil {
			return err
		}
	}
	v4, v6 := fib.Views(e.memory, unit)
	counts := make([]int, tables.MaxGroups)
	for i, v := range []fib.View{v4, v6} {
		e.roots[i] = v.Root
		table, err := fib.Adopt(e.space, v)
		if err != nil {
			return err
		}
		if i == 0 {
			e.v4 = table
		} else {
			e.v6 = table
		}
		table.CountSlots(counts)
	}
	for slot, n := range counts {
		if g := e.groups.slots[slot]; g != nil {
			g.routes = n
		} else if n > 0 {
			return fmt.Errorf("engine: %d routes use group slot %d, which is empty", n, slot)
		}
	}
	for _, g := range e.groups.slots {
		if g != nil && !g.derived && g.routes == 0 {
			e.rest(g)
		}
	}
	// What did not hold what it should is mended before anything else.
	return e.transact(func(*transaction) error { return nil })
}

func (e *Engine) adoptPage(i int, unit uint32) error {
	if unit == 0 {
		return nil
	}
	if !tables.Valid(uint64(unit)*uint64(tables.UnitBytes), pageUnits*tables.UnitBytes) || !e.space.Reserve(unit, pageUnits) {
		return fmt.Errorf("engine: page %d of groups at unit %d is not its own", i, unit)
	}
	shadow := e.memory.Shadow.Blocks[unit]
	if shadow == 0 || int(shadow) >= tables.ShadowUnits || !e.space.ReserveShadow(shadow, pageShadowBytes) {
		return fmt.Errorf("engine: shadow of page %d at unit %d is not its own", i, shadow)
	}
	e.groups.pages[i] = groupPage{unit, shadow}
	words := e.memory.GroupPage(unit)
	for j, at := range e.memory.ShadowWords(shadow, tables.GroupsPerPage) {
		if at == 0 {
			continue
		}
		if err := e.adoptGroup(uint16(i*tables.GroupsPerPage+j), at, words[j]); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) adoptGroup(slot uint16, at uint32, word uint64) error {
	x, err := decodeInfo(e.memory, at)
	if err != nil {
		return err
	}
	if !e.space.ReserveShadow(at, infoSize(len(x.Hops))) || !e.groups.free.reserve(uint32(slot)) {
		return fmt.Errorf("engine: group slot %d shares its shadow", slot)
	}
	g := &group{Group: x.Group, slot: slot, derived: x.derived, info: at}
	if x.Action == Forward {
		for i, h := range x.Hops {
			g.members = append(g.members, e.hops.use(hopKey{h.Interface, h.Address}, slot, x.counters[i]))
			g.weights = append(g.weights, h.weight())
		}
		g.log = bucketsLog(g.weights)
	}
	if err := e.adoptBuckets(g, word); err != nil {
		return err
	}
	e.groups.slots[slot] = g
	e.remember(g)
	return nil
}

// adoptBuckets keeps every flow where it is.
func (e *Engine) adoptBuckets(g *group, word uint64) error {
	log := int(word >> tables.GroupLogShift & 0xff)
	if log != g.log || Action(word>>tables.GroupActionShift) != g.Action {
		return fmt.Errorf("engine: group slot %d has word %#x", g.slot, word)
	}
	if g.log == 0 {
		if len(g.members) == 1 {
			e.hops.adopt(g.members[0], uint32(word))
		}
		return nil
	}
	offset := uint64(uint32(word))
	g.buckets = uint32(offset) / uint32(tables.UnitBytes)
	if !tables.Valid(offset, 4<<g.log) || !e.space.Reserve(g.buckets, bucketUnits(g.log)) {
		return fmt.Errorf("engine: group slot %d has its buckets at %#x", g.slot, offset)
	}
	for _, b := range e.memory.Words32(uint32(offset), 1<<g.log) {
		owner := b >> tables.BucketMemberShift
		if int(owner) >= len(g.members) {
			return fmt.Errorf("engine: group slot %d has a bucket of member %d", g.slot, owner)
		}
		g.owners = append(g.owners, uint8(owner))
		e.hops.adopt(g.members[owner], b&tables.BucketAdjacencyMask)
	}
	return nil
}
