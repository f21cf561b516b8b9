// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

// A group is referred to by the slots that were sent with it, by those that were acknowledged with it, and by
// the batches in flight. What happens here keeps count: while nobody was sent with it the dataplane does not
// have it, and while nobody refers to it at all its number is free.

func (o *Outbox) setSent(s *Slot, g *Group) {
	old := s.sent
	if old == g {
		return
	}
	if g != nil {
		g.users++
		g.held++
		if g.users == 1 && g.sent != g.version {
			o.pushGroup(g) // a failure took the route back to a group that has changed meanwhile
		}
	}
	s.sent = g
	if old != nil {
		old.users--
		old.held--
		o.reclaim(old)
	}
}

func (o *Outbox) setAcked(s *Slot, g *Group) {
	old := s.acked
	if old == g {
		return
	}
	if g != nil {
		g.held++
	}
	s.acked = g
	if old != nil {
		old.held--
		o.reclaim(old)
	}
}

// hold keeps a batch's slots, and the numbers of its groups, while its fate is open.
func (o *Outbox) hold(b *Batch) {
	for _, w := range b.Routes {
		w.slot.flying++
		if w.group != nil {
			w.group.held++
		}
	}
}

func (o *Outbox) letGo(b *Batch) {
	for _, w := range b.Routes {
		if w.group != nil {
			w.group.held--
			o.reclaim(w.group)
		}
		w.slot.flying--
		if w.slot.Clean() {
			o.release(w.slot)
		}
	}
}

func (o *Outbox) reclaim(g *Group) {
	if g.retired && g.held == 0 {
		g.retired = false
		o.ids.give(g.id)
	}
}
