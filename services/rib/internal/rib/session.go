// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rib

import (
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
)

// The methods here are the programmer's. It calls them from one goroutine, but for Acknowledge, which may
// come from another.

// Begin starts a session with the dataplane: everything is to be sent. empty says that its tables are.
func (r *RIB) Begin(empty bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table.Outbox().Begin(r.table.Slots(), empty)
	r.session = Session{Open: true}
	r.moved()
}

// End says that the session is over. What was acknowledged still counts: the dataplane's tables outlive it.
func (r *RIB) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session = Session{}
	r.moved()
}

// Next hands out the next batch, nil when there is nothing to send now: Work says when to ask again.
func (r *RIB) Next() *fib.Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.table.Outbox()
	was := o.Settled()
	b := o.Next()
	if o.Settled() != was {
		r.moved()
	}
	return b
}

// EndOfSync hands out the end of synchronisation when it is due, once a session.
func (r *RIB) EndOfSync() *fib.Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table.Outbox().EndOfSync()
}

// Acknowledge takes the dataplane's answer.
func (r *RIB) Acknowledge(sequence uint64, failures []fib.Failure) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.table.Outbox().Acknowledge(sequence, failures)
	r.moved()
	poke(r.work)
	return err
}

// Retry tries again what the dataplane refused, if anything.
func (r *RIB) Retry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.table.Outbox(); o.Troubled() {
		o.Retry()
		poke(r.work)
	}
}

// Work is signalled when there may be something to send.
func (r *RIB) Work() <-chan struct{} { return r.work }

// Wake makes the programmer look again.
func (r *RIB) Wake() { poke(r.work) }

// Session tells how the way to the dataplane is.
func (r *RIB) Session() Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.session
}

// moved tells everyone who waits. The caller holds the lock.
func (r *RIB) moved() {
	o := r.table.Outbox()
	if r.session.Open {
		r.session.Repeated = r.session.Repeated || o.Repeated()
		r.session.Synced = o.Synced()
	}
	close(r.progress)
	r.progress = make(chan struct{})
}
