// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import "fmt"

// Acknowledge takes the dataplane's decision about every batch up to a sequence number. An error means
// that the session is not to be trusted: something was acknowledged that was never sent, or the end of
// synchronisation was refused.
func (o *Outbox) Acknowledge(sequence uint64, failures []Failure) error {
	if sequence > o.sequence {
		return fmt.Errorf("acknowledged batch %d of %d sent", sequence, o.sequence)
	}
	failed := map[uint64]Failure{}
	for _, f := range failures {
		if _, ok := failed[f.Sequence]; !ok {
			failed[f.Sequence] = f
		}
	}
	var err error
	done := 0
	for _, b := range o.inflight {
		if b.Sequence > sequence {
			break
		}
		f, refused := failed[b.Sequence]
		done++
		if refused && b.EndOfSync {
			err = fmt.Errorf("end of synchronisation refused: %s", f.Reason)
			continue
		}
		o.decide(b, f, refused)
	}
	rest := copy(o.inflight, o.inflight[done:])
	clear(o.inflight[rest:])
	o.inflight = o.inflight[:rest]
	o.settle()
	return err
}

func (o *Outbox) decide(b *Batch, f Failure, refused bool) {
	switch {
	case refused:
		o.fail(b, f)
	case b.EndOfSync:
		o.swept()
		o.passed(b)
	default:
		o.apply(b)
	}
	o.letGo(b)
}

func (o *Outbox) fail(b *Batch, f Failure) {
	o.stats.Failures++
	o.held = max(o.held, b.mark)
	o.revert(b)
	if b.careful {
		o.judge(b, f)
		return
	}
	o.failed = append(o.failed, b)
}

func (o *Outbox) apply(b *Batch) {
	for _, w := range b.Groups {
		w.group.acked = w.version
		w.group.refusal = nil
		delete(o.bad, w.group)
	}
	freed := false
	for _, w := range b.Routes {
		o.setAcked(w.slot, w.group)
		w.slot.confirmed = true
		w.slot.decisions++
		if o.careful() {
			o.setSent(w.slot, w.group) // a failed batch before this one took it back
		}
		freed = freed || w.group == nil && o.full[family(w.slot.prefix)] != nil
	}
	o.passed(b)
	if freed {
		o.Retry()
	}
}

// passed moves the settled mark past a batch, or remembers to once no failure before it is open.
func (o *Outbox) passed(b *Batch) {
	if o.careful() {
		o.held = max(o.held, b.mark)
		return
	}
	o.advance(b.mark)
}

// swept: the dataplane has removed everything that this session did not repeat.
func (o *Outbox) swept() {
	o.synced = true
	for s := range o.draining {
		if s.sent == nil && !s.confirmed {
			o.setAcked(s, nil)
		}
		if s.Clean() {
			o.release(s)
		}
	}
}
