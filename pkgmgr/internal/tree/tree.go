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
)

var (
	// ErrUnknown is returned for a component that is not in the generation.
	ErrUnknown = errors.New("no such component in the running generation")
	// ErrStopped is returned when the supervisor ends before a restart is done.
	ErrStopped = errors.New("the supervisor is ending")
	// ErrNotReady is returned when a restarted component's new process ended too early.
	ErrNotReady = errors.New("the new process ended before it was ready and is started again")
)

// Config is what a tree stands on. Nothing in it is nil.
type Config struct {
	Generation *generation.Generation
	Layout     layout.Layout
	Users      *identity.Users
	Tokens     *token.Counter
	Book       *children.Book
	Sockets    *sockets.Set
	Groups     *cgroup.Manager
	Log        *slog.Logger
}

// Tree is the set of nodes. Its methods are safe for concurrent use.
type Tree struct {
	cfg   Config
	table *status.Table
	// nodes are in start order.
	nodes  []*node
	byName map[string]*node
	stop   sync.Once
}

// New prepares a tree and gives every component its user id. It starts nothing.
func New(cfg Config) (*Tree, error) {
	t := &Tree{cfg: cfg, byName: map[string]*node{}}
	var rows []status.Component
	for _, c := range cfg.Generation.Components {
		uid, err := cfg.Users.ID(c.Name())
		if err != nil {
			return nil, err
		}
		n := newNode(t, c, uid)
		t.nodes = append(t.nodes, n)
		t.byName[c.Name()] = n
		rows = append(rows, n.firstStatus())
	}
	t.table = status.New(rows)
	return t, nil
}

// Status is the table of all components.
func (t *Tree) Status() *status.Table { return t.table }

// Run supervises until every node has ended: after ctx ends, which leaves the processes running, or
// after Stop, which does not. It is called once.
func (t *Tree) Run(ctx context.Context) {
	t.retireRemoved()
	var running sync.WaitGroup
	for _, n := range t.nodes {
		running.Go(func() { n.run(ctx) })
	}
	running.Wait()
}

// Stop drains and ends every component, dependants before those they depend on, and makes Run return. It
// does not wait.
func (t *Tree) Stop() {
	t.stop.Do(func() {
		for _, n := range t.nodes {
			go n.stopAfter(t.dependants(n.c.Name()))
		}
	})
}

func (t *Tree) dependants(name string) []*node {
	var out []*node
	for _, n := range t.nodes {
		for _, a := range n.c.After {
			if a == name {
				out = append(out, n)
			}
		}
	}
	return out
}

// Restart drains a component, starts it again and waits until the successor is ready. An error after
// the drain says why the successor is not; it is started again as after a crash.
func (t *Tree) Restart(ctx context.Context, name string) error {
	n, ok := t.byName[name]
	if !ok {
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
func (t *Tree) Expect(name string) (handback.Expected, bool) {
	n, ok := t.byName[name]
	if !ok {
		return handback.Expected{}, false
	}
	c := t.cfg.Book.Get(name)
	return handback.Expected{PID: c.PID, UID: n.uid, Sockets: n.c.Manifest.Sockets}, c.PID != 0
}
