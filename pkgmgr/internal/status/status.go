// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package status is the table of what every component is doing, and tells watchers of changes.
//
// A Table is safe for concurrent use. Watchers never hold up writers: a slow one sees a component's newest
// state and skips what lay between, so that its memory is bounded by the number of components.
package status

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Phase is where a component is in its life. The numbers are those of ashlar.supervisor.v1.Phase.
type Phase int32

// The phases.
const (
	Waiting Phase = iota + 1
	Starting
	Ready
	Unready
	Backoff
	Stopping
	Stopped
)

// String names the phase as a person would.
func (p Phase) String() string {
	names := []string{"unknown", "waiting", "starting", "ready", "not ready", "in backoff", "stopping", "stopped"}
	if p < 0 || int(p) >= len(names) {
		return names[0]
	}
	return names[p]
}

// Cause says why a process ended or was started. The numbers are those of ashlar.supervisor.v1.Cause.
type Cause int32

// The causes.
const (
	Boot Cause = iota + 1
	Crash
	Operator
	Liveness
	Upgrade
	OutOfMemory
)

// Component is the state of one component.
type Component struct {
	Name, Daemon, Version, Summary string

	Phase  Phase
	Reason string
	// PID is 0 while no process runs.
	PID        int
	UID        uint32
	Started    time.Time
	ReadyAfter time.Duration
	Crashes    uint64
	Restarts   uint64
	LastCause  Cause
	LastExit   string
	Token      uint64
	Adopted    bool
	// NextStart is set in Backoff.
	NextStart time.Time
}

// Table holds the components in start order.
type Table struct {
	mu       sync.Mutex
	order    []string
	rows     map[string]*Component
	watchers map[*Watcher]struct{}
}

// New returns a table of the components, in the order given.
func New(components []Component) *Table {
	t := &Table{rows: map[string]*Component{}, watchers: map[*Watcher]struct{}{}}
	for _, c := range components {
		t.order = append(t.order, c.Name)
		t.rows[c.Name] = &c
	}
	return t
}

// Update changes one component. fn must not block; it runs under the table's lock.
func (t *Table) Update(name string, fn func(*Component)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.rows[name]
	if !ok {
		return
	}
	before := *r
	fn(r)
	if *r == before {
		return
	}
	for w := range t.watchers {
		w.mark(name)
	}
}

// Get returns one component.
func (t *Table) Get(name string) (Component, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.rows[name]
	if !ok {
		return Component{}, false
	}
	return *r, true
}

// List returns every component in start order.
func (t *Table) List() []Component {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list()
}

func (t *Table) list() []Component {
	out := make([]Component, 0, len(t.order))
	for _, name := range t.order {
		out = append(out, *t.rows[name])
	}
	return out
}

// Watcher is one subscription.
type Watcher struct {
	table *Table
	dirty []string
	wake  chan struct{}
}

// Watch subscribes and returns the state as of now. The caller calls Close.
func (t *Table) Watch() (*Watcher, []Component) {
	w := &Watcher{table: t, wake: make(chan struct{}, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers[w] = struct{}{}
	return w, t.list()
}

// mark notes a change; the table's lock is held.
func (w *Watcher) mark(name string) {
	if slices.Contains(w.dirty, name) {
		return
	}
	w.dirty = append(w.dirty, name)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Next waits for changes and returns the newest state of each component that changed.
func (w *Watcher) Next(ctx context.Context) ([]Component, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.wake:
		}
		if out := w.take(); len(out) > 0 {
			return out, nil
		}
	}
}

func (w *Watcher) take() []Component {
	w.table.mu.Lock()
	defer w.table.mu.Unlock()
	var out []Component
	for _, name := range w.dirty {
		out = append(out, *w.table.rows[name])
	}
	w.dirty = nil
	return out
}

// Close ends the subscription.
func (w *Watcher) Close() {
	w.table.mu.Lock()
	defer w.table.mu.Unlock()
	delete(w.table.watchers, w)
}
