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

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
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

	// Digest is that of the package that runs from Tree, "" when it is of none.
	Digest, Tree string
	// What these refer to is replaced and never changed; nil where there is none.
	Candidate *Candidate
	Trial     *Trial
	Reversal  *Reversal
	// Draining is the process of the version before, 0 when it has ended.
	Draining int
	// Absent: only a candidate is there, the component is not one of the running set yet.
	Absent bool
}

// Candidate is a version beside the running one.
type Candidate struct {
	Version, Digest string
	PID             int
	Started         time.Time
	// Ended says how the process ended, "" while it runs.
	Ended string
	// Provides is what it says that it serves.
	Provides []*lifecyclev1.Contract
}

// Trial is the time until the running version is confirmed.
type Trial struct {
	PreviousVersion, PreviousDigest string
	Since                           time.Time
}

// Reversal is a return to an earlier version that the supervisor made by itself.
type Reversal struct {
	FromVersion, FromDigest, ToVersion, Reason string
	At                                         time.Time
}

// Table holds the components in start order.
type Table struct {
	mu       sync.Mutex
	order    []string
	rows     map[string]*Component
	watchers map[*Watcher]struct{}
	// gone are the last states of components that were removed, for the watchers that have yet to see them.
	gone map[string]Component
}

// New returns a table of the components, in the order given.
func New(components []Component) *Table {
	t := &Table{rows: map[string]*Component{}, watchers: map[*Watcher]struct{}{}, gone: map[string]Component{}}
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

// Add puts a component at the end of the table.
func (t *Table) Add(c Component) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.rows[c.Name]; ok {
		return
	}
	delete(t.gone, c.Name)
	t.order = append(t.order, c.Name)
	t.rows[c.Name] = &c
	for w := range t.watchers {
		w.mark(c.Name)
	}
}

// Remove takes a component off the table. Its last state is told as Stopped.
func (t *Table) Remove(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.rows[name]
	if !ok {
		return
	}
	last := *r
	last.Phase, last.Reason, last.PID, last.Candidate = Stopped, "removed", 0, nil
	t.gone[name] = last
	delete(t.rows, name)
	t.order = slices.DeleteFunc(t.order, func(n string) bool { return n == name })
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
		if r, ok := w.table.rows[name]; ok {
			out = append(out, *r)
		} else {
			out = append(out, w.table.gone[name])
		}
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
