// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"sync/atomic"

	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// group is a next-hop group in its slot. Everything but routes, marked and owners is fixed once packets see it.
type group struct {
	Group
	slot    uint16
	derived bool // made for a neighbour, not programmed
	members []*nextHop
	weights []uint32
	log     int
	owners  []uint8 // of each bucket
	buckets uint32  // unit of the buckets, when there are several
	info    uint32  // shadow unit of what the group was told

	routes  int    // that use it
	marked  bool   // sent in this session
	resting uint64 // see Engine.rest
}

// newGroup prepares a group for a slot; previous is what it replaces there, whose buckets it keeps where it can.
func (e *Engine) newGroup(g Group, slot uint16, derived bool, previous *group) *group {
	n := &group{Group: Group{g.ID, g.Action, sortedHops(g.Hops)}, slot: slot, derived: derived}
	if g.Action == Forward {
		for _, h := range n.Hops {
			m := e.hops.use(hopKey{h.Interface, h.Address}, slot, 0)
			e.resolve(m)
			n.members = append(n.members, m)
			n.weights = append(n.weights, h.weight())
		}
		n.log = bucketsLog(n.weights)
	}
	if n.log > 0 {
		n.owners = slices.Repeat([]uint8{nobody}, 1<<n.log)
		if previous != nil && previous.log == n.log {
			n.inherit(previous)
		}
	}
	return n
}

// inherit keeps buckets with the members that both groups have.
func (g *group) inherit(previous *group) {
	to := make([]uint8, len(previous.members))
	for i, m := range previous.members {
		to[i] = nobody
		if at := slices.Index(g.members, m); at >= 0 {
			to[i] = uint8(at)
		}
	}
	for b, o := range previous.owners {
		if int(o) < len(to) {
			g.owners[b] = to[o]
		}
	}
}

// shareOut gives the buckets to the members that are alive.
func (g *group) shareOut() {
	alive := make([]bool, len(g.members))
	for i, m := range g.members {
		alive[i] = m.adjacency != 0
	}
	assign(g.owners, quotas(len(g.owners), g.weights, alive))
}

func (g *group) bucket(b int) uint32 {
	o := g.owners[b]
	return g.members[o].adjacency | uint32(o)<<tables.BucketMemberShift
}

// word is what packets read first of the group.
func (g *group) word() uint64 {
	w := uint64(g.Action)<<tables.GroupActionShift | uint64(g.log)<<tables.GroupLogShift
	switch {
	case g.log > 0:
		return w | uint64(g.buckets)*uint64(tables.UnitBytes)
	case len(g.members) == 1:
		return w | uint64(g.members[0].adjacency)
	}
	return w
}

// release ends the use of the next hops.
func (g *group) release(n *nextHops) {
	for _, m := range g.members {
		n.drop(m, g.slot)
	}
}

// groups is the table of all slots and the pages that packets read them from.
type groups struct {
	memory    *tables.Memory
	slots     []*group
	free      *indexes
	byID      map[uint32]*group // of the current session
	byContent map[string]*group // programmed ones, of any session
	pages     [tables.MaxGroups / tables.GroupsPerPage]groupPage
}

type groupPage struct {
	unit   uint32 // 0: no group of it exists
	shadow uint32
}

func newGroups(m *tables.Memory) *groups {
	return &groups{
		memory: m, slots: make([]*group, tables.MaxGroups), free: newIndexes(tables.MaxGroups),
		byID: map[uint32]*group{}, byContent: map[string]*group{},
	}
}

// repoint writes the words of a group whose next hops changed, in place: each is one aligned store, and a
// packet uses the old or the new one.
func (g *groups) repoint(slot uint16) {
	x := g.slots[slot]
	page := g.pages[int(slot)/tables.GroupsPerPage]
	if x == nil || page.unit == 0 {
		return
	}
	if x.log == 0 {
		atomic.StoreUint64(&g.memory.GroupPage(page.unit)[int(slot)%tables.GroupsPerPage], x.word())
		return
	}
	x.shareOut()
	words := g.memory.Words32(x.buckets*uint32(tables.UnitBytes), 1<<x.log)
	for b := range words {
		if w := x.bucket(b); words[b] != w {
			atomic.StoreUint32(&words[b], w)
		}
	}
}

// slotChange is a slot whose group a transaction replaces; either may be nil.
type slotChange struct {
	slot     uint16
	old, new *group
}

// build writes new pages for the changed slots into a header.
func (g *groups) build(w *fib.Writer, h *tables.Header, changes []slotChange) ([]pageChange, error) {
	var pages []pageChange
	byPage := map[int][]slotChange{}
	for _, c := range changes {
		byPage[int(c.slot)/tables.GroupsPerPage] = append(byPage[int(c.slot)/tables.GroupsPerPage], c)
	}
	for i, cs := range byPage {
		p, err := g.buildPage(w, g.pages[i], cs)
		if err != nil {
			return nil, err
		}
		h.Groups[i] = p.unit
		pages = append(pages, pageChange{i, p})
	}
	return pages, nil
}

type pageChange struct {
	index int
	page  groupPage
}

const (
	pageUnits       = tables.GroupsPerPage * 8 / tables.UnitBytes
	pageShadowBytes = tables.GroupsPerPage * 4
)

func (g *groups) buildPage(w *fib.Writer, old groupPage, changes []slotChange) (groupPage, error) {
	var p groupPage
	var err error
	if p.unit, err = w.Take(pageUnits); err != nil {
		return p, err
	}
	if p.shadow, err = w.TakeShadow(pageShadowBytes); err != nil {
		return p, err
	}
	words, infos := g.memory.GroupPage(p.unit), g.memory.ShadowWords(p.shadow, tables.GroupsPerPage)
	*words = *g.memory.GroupPage(old.unit) // unit 0 is all zero
	clear(infos)
	if old.unit != 0 {
		copy(infos, g.memory.ShadowWords(old.shadow, tables.GroupsPerPage))
		w.Give(old.unit, pageUnits)
		w.GiveShadow(old.shadow, pageShadowBytes)
	}
	g.memory.Shadow.Blocks[p.unit] = p.shadow
	for _, c := range changes {
		i := int(c.slot) % tables.GroupsPerPage
		words[i], infos[i] = 0, 0
		if c.old != nil {
			c.old.give(w)
		}
		if c.new == nil {
			continue
		}
		if err := c.new.write(w); err != nil {
			return p, err
		}
		words[i], infos[i] = c.new.word(), c.new.info
	}
	return p, nil
}

// give retires the blocks of a group that is replaced.
func (g *group) give(w *fib.Writer) {
	if g.log > 0 {
		w.Give(g.buckets, bucketUnits(g.log))
	}
	w.GiveShadow(g.info, infoSize(len(g.Hops)))
}

func bucketUnits(log int) int { return (4<<log + tables.UnitBytes - 1) / tables.UnitBytes }

// write makes the buckets and the shadow of a group.
func (g *group) write(w *fib.Writer) error {
	var err error
	if g.log > 0 {
		if g.buckets, err = w.Take(bucketUnits(g.log)); err != nil {
			return err
		}
		g.shareOut()
		words := w.Memory.Words32(g.buckets*uint32(tables.UnitBytes), 1<<g.log)
		for b := range words {
			words[b] = g.bucket(b)
		}
	}
	if g.info, err = w.TakeShadow(infoSize(len(g.Hops))); err != nil {
		return err
	}
	g.encode(w.Memory.ShadowBytes(g.info, infoSize(len(g.Hops))))
	return nil
}
