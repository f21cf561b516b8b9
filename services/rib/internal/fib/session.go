// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import (
	"iter"
	"math"
)

// Begin starts a session in which nothing has been sent: the dataplane's state is whatever earlier
// sessions left. slots are all there are; each is sent again. With empty, the dataplane said that it has
// no routes at all. Nothing counts as settled before all of it is decided.
func (o *Outbox) Begin(slots iter.Seq[*Slot], empty bool) {
	o.synced, o.ended = false, false
	for _, b := range o.inflight {
		o.letGo(b)
	}
	o.sequence = 0
	o.inflight, o.failed, o.retry = nil, nil, nil
	o.held = 0
	o.gate = math.MaxUint64
	o.pardon()
	var clean []*Slot
	for s := range slots {
		if o.restart(s, empty); s.Clean() {
			clean = append(clean, s)
		}
	}
	for _, s := range clean {
		o.release(s)
	}
	o.gate = o.clock
}

// Repeated reports whether everything that was there when the session began is decided.
func (o *Outbox) Repeated() bool { return o.settled >= o.gate }

func (o *Outbox) pardon() {
	o.full = [2]*Refusal{}
	for g := range o.bad {
		g.refusal = nil
	}
	clear(o.bad)
}

func (o *Outbox) restart(s *Slot, empty bool) {
	o.forgive(s)
	o.setSent(s, nil)
	s.confirmed = false
	if empty {
		o.setAcked(s, nil)
	}
	if !s.Clean() {
		o.pushSlot(s)
	}
}
