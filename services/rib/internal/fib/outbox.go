// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import "net/netip"

// Config bounds an outbox.
type Config struct {
	// BatchSize is the greatest number of routes, and of groups, in one transaction.
	BatchSize int
	// Window is the greatest number of transactions that wait for an acknowledgement.
	Window int
	// Released is called when nothing of a slot is left in the dataplane and nothing is wished.
	Released func(*Slot)
}

// Outbox is the difference between wish and dataplane.
type Outbox struct {
	cfg Config
	ids ids

	groups   queue[*Group]
	slots    queue[*Slot]
	urgent   queue[*Slot] // some of slots, once more: they go first
	clock    uint64       // of touches
	settled  uint64       // every touch up to here is decided
	gate     uint64       // no mark below it counts: it was touched before the session began
	held     uint64       // settled, once the careful part is over
	sequence uint64       // of batches in the session

	inflight []*Batch
	failed   []*Batch
	retry    []chunk

	refusals map[*Slot]Refusal
	bad      map[*Group]struct{}
	full     [2]*Refusal // by family
	draining map[*Slot]struct{}
	synced   bool // the end of synchronisation was acknowledged
	ended    bool // it was handed out
	stats    Stats
}

// Stats are numbers since start, for metrics.
type Stats struct {
	Batches, Routes, Groups, Failures uint64
}

// New returns an outbox without a session.
func New(cfg Config) *Outbox {
	return &Outbox{
		cfg:      cfg,
		refusals: map[*Slot]Refusal{},
		bad:      map[*Group]struct{}{},
		draining: map[*Slot]struct{}{},
	}
}

// NewGroup makes a group. It reaches the dataplane with the first route that wants it.
func (o *Outbox) NewGroup(c Content) *Group {
	return &Group{id: o.ids.take(), content: c, version: 1}
}

// SetContent changes what a group does.
func (o *Outbox) SetContent(g *Group, c Content) {
	if g.content.Equal(c) {
		return
	}
	g.content = c
	g.version++
	if g.refusal != nil {
		o.Retry()
	}
	if g.present() {
		o.pushGroup(g)
	}
}

// Retire says that no slot will want the group again. Its number is free once the dataplane has left it.
func (o *Outbox) Retire(g *Group) {
	g.retired = true
	delete(o.bad, g)
	o.reclaim(g)
}

// Want wishes a group for a prefix; nil wishes the prefix away.
func (o *Outbox) Want(s *Slot, g *Group) {
	if s.want == g {
		return
	}
	s.want = g
	o.forgive(s)
	if g != nil {
		s.draining = false
		delete(o.draining, s)
	} else if !s.Clean() {
		s.draining = true
		o.draining[s] = struct{}{}
	}
	if s.Clean() {
		o.release(s)
		return
	}
	o.pushSlot(s)
}

// Touch sends a prefix again although nothing differs: its acknowledgement proves the way to the tables.
func (o *Outbox) Touch(s *Slot) {
	s.force = true
	o.forgive(s)
	o.pushSlot(s)
	o.Hurry(s)
}

// Hurry sends a prefix before others that wait. It keeps its place for the settled mark.
func (o *Outbox) Hurry(s *Slot) {
	if s.queued && !s.urgent {
		s.urgent = true
		o.urgent.push(s)
	}
}

// Mark names everything touched until now; Settled reaches it when all of that is decided.
func (o *Outbox) Mark() uint64 { return o.clock }

// Settled is the newest mark up to which everything is acknowledged or refused.
func (o *Outbox) Settled() uint64 { return o.settled }

// Synced reports whether the session's end of synchronisation was acknowledged.
func (o *Outbox) Synced() bool { return o.synced }

// Queued is the number of prefixes and groups that wait to be sent.
func (o *Outbox) Queued() int { return o.slots.len() + o.groups.len() }

// InFlight is the number of batches that wait for an acknowledgement.
func (o *Outbox) InFlight() int { return len(o.inflight) }

// Refused is the number of prefixes that the dataplane refused.
func (o *Outbox) Refused() int { return len(o.refusals) }

// Stats returns the counts since start.
func (o *Outbox) Stats() Stats { return o.stats }

// Refusal says why the dataplane does not have what is wished for the slot.
func (o *Outbox) Refusal(s *Slot) (Refusal, bool) {
	if r, ok := o.refusals[s]; ok {
		return r, true
	}
	if s.want != nil && s.want.refusal != nil {
		return *s.want.refusal, true
	}
	return Refusal{}, false
}

// Troubled reports whether anything was refused.
func (o *Outbox) Troubled() bool { return len(o.refusals)+len(o.bad) > 0 }

// Retry tries again what was refused.
func (o *Outbox) Retry() {
	for g := range o.bad {
		if g.present() && g.sent != g.version {
			o.pushGroup(g)
		}
	}
	o.pardon()
	for s := range o.refusals {
		o.forgive(s)
		o.pushSlot(s)
	}
}

func (o *Outbox) forgive(s *Slot) {
	if s.refused {
		s.refused = false
		delete(o.refusals, s)
	}
}

func (o *Outbox) refuse(s *Slot, r Refusal) {
	s.refused = true
	s.force = false
	s.decisions++
	o.refusals[s] = r
}

func (o *Outbox) pushSlot(s *Slot) {
	if s.queued {
		return
	}
	o.clock++
	s.queued, s.seq = true, o.clock
	o.slots.push(s)
}

func (o *Outbox) pushGroup(g *Group) {
	if g.queued {
		return
	}
	o.clock++
	g.queued, g.seq = true, o.clock
	o.groups.push(g)
}

// markNow is the mark that is decided once everything handed out is decided.
func (o *Outbox) markNow() uint64 {
	mark := o.clock
	if !o.groups.empty() {
		mark = min(mark, o.groups.peek().seq-1)
	}
	if !o.slots.empty() {
		mark = min(mark, o.slots.peek().seq-1)
	}
	return mark
}

func (o *Outbox) release(s *Slot) {
	if s.draining {
		s.draining = false
		delete(o.draining, s)
	}
	o.forgive(s)
	if o.cfg.Released != nil {
		o.cfg.Released(s)
	}
}

func family(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}
