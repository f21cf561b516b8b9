// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package rib is the routing table shared by everyone in the process: sources change it, the programmer
// drains it, readers look at it.
//
// A RIB is safe for concurrent use. One lock orders all of it; nobody holds the lock while waiting for
// another component. Changes made in one Update take effect together.
package rib

import (
	"context"
	"iter"
	"net/netip"
	"sync"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

// RIB is a routing table with a lock and with events.
type RIB struct {
	mu       sync.RWMutex
	table    *table.Table
	progress chan struct{} // closed and replaced when the dataplane's side moves
	work     chan struct{}
	resolved chan struct{}
	session  Session
}

// Session is the state of the way to the dataplane.
type Session struct {
	Open bool
	// Repeated: everything known when the session began was acknowledged or refused.
	Repeated bool
	// Synced: what earlier sessions left was swept.
	Synced bool
}

// New returns an empty table.
func New(limits table.Limits, cfg fib.Config) *RIB {
	return &RIB{
		table:    table.New(limits, cfg),
		progress: make(chan struct{}),
		work:     make(chan struct{}, 1),
		resolved: make(chan struct{}, 1),
	}
}

// Update changes the table. What f did takes effect when it returns; the mark is for Settled.
func (r *RIB) Update(f func(t *table.Table)) (mark uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.table.Resolutions()
	f(r.table)
	r.table.Settle()
	if r.table.Resolutions() != was {
		poke(r.resolved)
	}
	poke(r.work)
	return r.table.Outbox().Mark()
}

// View looks at the table, which f must not change nor keep.
func (r *RIB) View(f func(t *table.Table)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f(r.table)
}

// Settled waits until everything up to a mark was acknowledged or refused by the dataplane.
func (r *RIB) Settled(ctx context.Context, mark uint64) error {
	return r.Await(ctx, func(t *table.Table, _ Session) bool { return t.Outbox().Settled() >= mark })
}

// Await waits until done says so; it is asked again whenever the dataplane's side moved. Like View's f, done
// must call nothing of the RIB: it runs under the lock.
func (r *RIB) Await(ctx context.Context, done func(t *table.Table, s Session) bool) error {
	for {
		r.mu.RLock()
		ok, progress := done(r.table, r.session), r.progress
		r.mu.RUnlock()
		if ok {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Decided reports whether the dataplane has what it should have of each prefix, refused it, or nothing can
// be had because no path is reachable.
func Decided(t *table.Table, prefixes iter.Seq[netip.Prefix]) bool {
	for p := range prefixes {
		if _, undone := t.Undone(p); !undone && !t.Done(p) {
			return false
		}
	}
	return true
}

// Resolved is signalled, at most once until it is read, when next hops became usable or ceased to be.
func (r *RIB) Resolved() <-chan struct{} { return r.resolved }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
