// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import "google.golang.org/grpc/codes"

// chunk is a part of a batch that failed, tried again alone so that the next answer is about it and
// nothing else.
type chunk struct {
	groups []*Group
	slots  []*Slot
}

func (c chunk) size() int { return len(c.groups) + len(c.slots) }

// careful reports whether a failure is being taken apart: one transaction at a time, halved until the
// culprit stands alone.
func (o *Outbox) careful() bool {
	return len(o.failed)+len(o.retry) > 0 || len(o.inflight) > 0 && o.inflight[0].careful
}

func (o *Outbox) nextCareful() *Batch {
	if len(o.inflight) > 0 {
		return nil
	}
	o.takeApart()
	for len(o.retry) > 0 {
		last := len(o.retry) - 1
		c := o.retry[last]
		o.retry = o.retry[:last]
		b := &Batch{careful: true, mark: o.held}
		for _, g := range c.groups {
			o.addGroup(b, g)
		}
		for _, s := range c.slots {
			o.addSlot(b, s)
		}
		if !b.empty() {
			return o.commit(b)
		}
	}
	o.advance(o.held)
	return o.Next()
}

// takeApart turns the failed batches into chunks, in the order they were sent.
func (o *Outbox) takeApart() {
	for i := len(o.failed) - 1; i >= 0; i-- {
		b := o.failed[i]
		c := chunk{}
		for _, w := range b.Groups {
			c.groups = append(c.groups, w.group)
		}
		for _, w := range b.Routes {
			c.slots = append(c.slots, w.slot)
		}
		o.push(chunk{slots: c.slots})
		o.push(chunk{groups: c.groups})
	}
	o.failed = nil
}

func (o *Outbox) push(c chunk) {
	if c.size() > 0 {
		o.retry = append(o.retry, c)
	}
}

// revert takes back what a failed batch counted as sent. Nothing newer is in flight when it matters: the
// batches behind a failure are awaited before anything is sent again.
func (o *Outbox) revert(b *Batch) {
	for _, w := range b.Groups {
		w.group.sent = 0
	}
	for _, w := range b.Routes {
		var base *Group
		if w.slot.confirmed {
			base = w.slot.acked
		}
		o.setSent(w.slot, base)
	}
}

// judge decides about a careful batch that failed.
func (o *Outbox) judge(b *Batch, f Failure) {
	if len(b.Routes) == 0 {
		o.judgeGroups(b, f)
		return
	}
	slots := make([]*Slot, len(b.Routes))
	for i, w := range b.Routes {
		slots[i] = w.slot
	}
	at := b.indexOf(f.Route)
	switch {
	case len(slots) == 1:
		o.judgeRoute(b, f)
	case at >= 0:
		o.push(chunk{slots: slots[at+1:]})
		o.push(chunk{slots: slots[at : at+1]})
		o.push(chunk{slots: slots[:at]})
	default:
		half := len(slots) / 2
		o.push(chunk{slots: slots[half:]})
		o.push(chunk{slots: slots[:half]})
	}
}

func (o *Outbox) judgeRoute(b *Batch, f Failure) {
	w := b.Routes[0]
	named := b.indexOf(f.Route) == 0
	switch {
	case !named && len(b.Groups) > 0:
		o.refuseGroup(b.Groups[0].group, f.Refusal)
	case f.Code == int32(codes.ResourceExhausted) && w.group != nil:
		o.full[family(w.slot.prefix)] = &f.Refusal
	}
	o.refuse(w.slot, f.Refusal)
}

func (o *Outbox) judgeGroups(b *Batch, f Failure) {
	if len(b.Groups) == 1 {
		o.refuseGroup(b.Groups[0].group, f.Refusal)
		return
	}
	groups := make([]*Group, len(b.Groups))
	for i, w := range b.Groups {
		groups[i] = w.group
	}
	half := len(groups) / 2
	o.push(chunk{groups: groups[half:]})
	o.push(chunk{groups: groups[:half]})
}

func (o *Outbox) refuseGroup(g *Group, r Refusal) {
	g.refusal = &r
	o.bad[g] = struct{}{}
}
