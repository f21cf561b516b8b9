// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

// Next hands out the next transaction, nil when there is nothing to send or the window is closed. What it
// hands out counts as sent.
func (o *Outbox) Next() *Batch {
	if o.careful() {
		return o.nextCareful()
	}
	if len(o.inflight) >= o.cfg.Window {
		return nil
	}
	b := &Batch{}
	for !o.groups.empty() && len(b.Groups) < o.cfg.BatchSize {
		g := o.groups.pop()
		g.queued = false
		o.addGroup(b, g)
	}
	for o.groups.empty() && !o.urgent.empty() && len(b.Routes) < o.cfg.BatchSize {
		s := o.urgent.pop()
		s.urgent = false
		o.addSlot(b, s)
	}
	for o.groups.empty() && !o.slots.empty() && len(b.Routes) < o.cfg.BatchSize {
		s := o.slots.pop()
		s.queued = false
		o.addSlot(b, s)
	}
	b.mark = o.markNow()
	if b.empty() {
		o.settle()
		return nil
	}
	return o.commit(b)
}

// EndOfSync hands out the end of synchronisation once everything the session began with is decided; nil
// before, and when it was handed out already.
func (o *Outbox) EndOfSync() *Batch {
	if o.settled < o.gate || o.ended || o.careful() {
		return nil
	}
	o.ended = true
	return o.commit(&Batch{EndOfSync: true, mark: o.markNow()})
}

func (o *Outbox) commit(b *Batch) *Batch {
	o.sequence++
	b.Sequence = o.sequence
	o.inflight = append(o.inflight, b)
	o.hold(b)
	o.stats.Batches++
	o.stats.Routes += uint64(len(b.Routes))
	o.stats.Groups += uint64(len(b.Groups))
	return b
}

func (o *Outbox) addGroup(b *Batch, g *Group) {
	if !g.present() || g.sent == g.version || g.refusal != nil {
		return
	}
	o.writeGroup(b, g)
}

func (o *Outbox) writeGroup(b *Batch, g *Group) {
	b.Groups = append(b.Groups, GroupWrite{Content: g.content, group: g, version: g.version})
	g.sent = g.version
}

func (o *Outbox) addSlot(b *Batch, s *Slot) {
	want := s.want
	stale := want == nil && s.acked != nil && !s.confirmed
	if want == s.sent && !s.force && !stale {
		return
	}
	if want != nil && s.sent != want && o.hopeless(s, want) {
		return
	}
	s.force = false
	if want != nil && (!want.present() || want.sent != want.version) {
		o.writeGroup(b, want)
	}
	o.setSent(s, want)
	b.Routes = append(b.Routes, RouteWrite{slot: s, group: want})
}

// hopeless refuses a slot without asking, for the reason another one got: a full table or a group that
// the dataplane cannot have would otherwise cost one transaction for each route.
func (o *Outbox) hopeless(s *Slot, want *Group) bool {
	if want.refusal != nil {
		o.refuse(s, *want.refusal)
		return true
	}
	if full := o.full[family(s.prefix)]; full != nil && s.acked == nil {
		o.refuse(s, *full)
		return true
	}
	return false
}

// settle moves the settled mark when nothing is undecided.
func (o *Outbox) settle() {
	if o.careful() || len(o.inflight) > 0 {
		return
	}
	o.advance(o.markNow())
}

func (o *Outbox) advance(mark uint64) {
	if mark >= o.gate {
		o.settled = max(o.settled, mark)
	}
}
