// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package tree runs the components of a generation: it starts them in order, watches them, restarts what
// dies, adopts what an earlier supervisor left, and stops them in order.
//
// Each component has one node, and each node one goroutine, which alone touches the component's process.
// Others talk to it through channels and read its state from the status table. The tree knows nothing
// of what components do.
package tree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/cgroup"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/handback"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/identity"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/sockets"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/token"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

var (
	// ErrUnknown is returned for a component that is not in the generation.
	ErrUnknown = errors.New("no such component in the running generation")
	// ErrStopped is returned when the supervisor ends before the work is done.
	ErrStopped = errors.New("the supervisor is ending")
	// ErrNotReady is returned when a restarted component's new process ended too early.
	ErrNotReady = errors.New("the new process ended before it was ready and is started again")
	// ErrBadTree is returned for a tree that is no such component, or cannot join the others.
	ErrBadTree = errors.New("the tree cannot be staged")
	// ErrUnfit is returned when a staged process died, or serves something else than its manifest says.
	ErrUnfit = errors.New("the staged process is not fit")
	// ErrSilent is returned when a staged process does not answer.
	ErrSilent = errors.New("the staged process does not answer")
	// ErrNothingStaged is returned where a staged version is needed.
	ErrNothingStaged = errors.New("no such version is staged")
	// ErrHandover is returned for a cutover that did not succeed.
	ErrHandover = errors.New("not cut over")
	// ErrRequired is returned when a component is removed that another needs.
	ErrRequired = errors.New("it is needed")
)

// Config is what a tree stands on. Nothing in it is nil.
type Config struct {
	Generation *generation.Generation
	// Directory is the generation's, as it was named: what it refers to may change meanwhile.
	Directory string
	// Self is the supervisor's own manifest, Own its line in the roster.
	Self   *manifest.Manifest
	Own    roster.Component
	Layout layout.Layout
	Users  *identity.Users
	Tokens *token.Counter
	Book   *children.Book
	// Place puts a version's sockets where the operator wants them; Reach checks that its user gets to its files.
	Place   func(generation.Component) error
	Reach   func(uid uint32, c generation.Component) error
	Sockets *sockets.Set
	Groups  *cgroup.Manager
	Log     *slog.Logger
}

// Tree is the set of nodes. Its methods are safe for concurrent use.
type Tree struct {
	cfg     Config
	table   *status.Table
	running sync.WaitGroup
	stop    sync.Once
	stopped chan struct{}

	mu sync.Mutex
	// nodes are in start order; those that joined later come last.
	nodes     []*node
	byName    map[string]*node
	views     map[*node]view
	published roster.Roster
	// ctx is Run's, nil before.
	ctx      context.Context
	stopping bool
}

// New prepares a tree, gives every component its user id and publishes who is on the device. It starts nothing.
func New(cfg Config) (*Tree, error) {
	t := &Tree{cfg: cfg, byName: map[string]*node{}, views: map[*node]view{}, stopped: make(chan struct{})}
	var rows []status.Component
	for _, c := range cfg.Generation.Components {
		uid, err := cfg.Users.ID(c.Name())
		if err != nil {
			return nil, err
		}
		n := newNode(t, c, uid)
		t.add(n)
		rows = append(rows, n.firstStatus())
	}
	t.table = status.New(rows)
	t.publish()
	return t, nil
}

// Status is the table of all components.
func (t *Tree) Status() *status.Table { return t.table }

// Run supervises until every node has ended: after ctx ends, which leaves the processes running, or
// after Stop, which does not. It is called once.
func (t *Tree) Run(ctx context.Context) {
	if err := t.sweep(); err != nil {
		t.cfg.Log.Error("processes of an earlier supervisor may be left", "error", err)
	}
	t.retireRemoved()
	t.mu.Lock()
	t.ctx = ctx
	for _, n := range t.nodes {
		t.running.Go(func() { n.run(ctx) })
	}
	t.mu.Unlock()
	select { // the last component may be removed and another one join
	case <-ctx.Done():
	case <-t.stopped:
	}
	t.running.Wait()
}

// Stop drains and ends every component, dependants before those they depend on, and makes Run return. It
// does not wait.
func (t *Tree) Stop() {
	t.stop.Do(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.stopping = true
		for _, n := range t.nodes {
			go n.stopAfter(t.dependants(n.name))
		}
		close(t.stopped)
	})
}

// dependants is called with the tree's lock held.
func (t *Tree) dependants(name string) []*node {
	var out []*node
	for _, n := range t.nodes {
		for _, a := range t.views[n].current.After {
			if a == name {
				out = append(out, n)
			}
		}
	}
	return out
}

// Adopted waits until every process that an earlier supervisor left has been taken over, or ctx ends.
func (t *Tree) Adopted(ctx context.Context) error {
	t.mu.Lock()
	nodes := append([]*node(nil), t.nodes...)
	t.mu.Unlock()
	for _, n := range nodes {
		select {
		case <-n.adopted:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Restart drains a component, starts it again and waits until the successor is ready. An error after
// the drain says why the successor is not; it is started again as after a crash.
func (t *Tree) Restart(ctx context.Context, name string) error {
	n, err := t.known(name)
	if err != nil {
		return err
	}
	if row, ok := t.table.Get(name); !ok || row.Absent {
		return fmt.Errorf("%q: %w", name, ErrUnknown)
	}
	o := order{cause: status.Operator, done: make(chan error, 1)}
	select {
	case n.orders <- o:
	case <-n.gone:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-o.done:
		return err
	case <-n.gone:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Expect says which process may return a component's sockets. It goes by the record, so that a process
// is known before its adoption too.
func (t *Tree) Expect(name string, pid int) (handback.Expected, bool) {
	n := t.node(name)
	if n == nil {
		return handback.Expected{}, false
	}
	for _, p := range t.cfg.Book.Get(name).Processes() {
		if p.PID != pid || pid == 0 {
			continue
		}
		c, err := t.load(p.Tree, name)
		if err != nil {
			t.mu.Lock()
			c = t.views[n].current
			t.mu.Unlock()
		}
		return handback.Expected{PID: pid, UID: n.uid, Sockets: socketsOf(c, recordedSlot(p.Slot))}, true
	}
	return handback.Expected{}, false
}
