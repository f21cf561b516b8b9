// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/backoff"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
)

// node supervises one component.
type node struct {
	tree *Tree
	c    generation.Component
	uid  uint32
	log  *slog.Logger

	orders chan order
	// stop is closed when the component shall end; gone when the node's goroutine has.
	stop, gone chan struct{}
	// proven is closed when the component has been ready once: dependants wait for it at their first start.
	proven     chan struct{}
	provenOnce sync.Once

	// What follows belongs to the node's goroutine.
	backoff backoff.Backoff
	waiting []chan error
	swept   bool
}

// order asks a node to restart its component.
type order struct {
	cause status.Cause
	// done, if not nil, gets the outcome; it has room for it.
	done chan error
}

func newNode(t *Tree, c generation.Component, uid uint32) *node {
	r := c.Manifest.Restart
	return &node{
		tree: t, c: c, uid: uid,
		log:     t.cfg.Log.With("child", c.Name()),
		orders:  make(chan order, 1),
		stop:    make(chan struct{}),
		gone:    make(chan struct{}),
		proven:  make(chan struct{}),
		backoff: backoff.Backoff{Min: time.Duration(r.MinBackoff), Max: time.Duration(r.MaxBackoff)},
	}
}

func (n *node) firstStatus() status.Component {
	m := n.c.Manifest
	was := n.tree.cfg.Book.Get(m.Name)
	return status.Component{
		Name: m.Name, Daemon: m.Daemon, Version: m.Version, Summary: m.Summary,
		Phase: status.Waiting, UID: n.uid,
		Crashes: was.Crashes, Restarts: was.Restarts, LastExit: was.LastExit, LastCause: status.Cause(was.LastCause),
	}
}

// update changes the component's row in the status table.
func (n *node) update(fn func(*status.Component)) { n.tree.table.Update(n.c.Name(), fn) }

// record changes the component's entry in the book. A book that cannot be written costs a later
// adoption, not this process.
func (n *node) record(fn func(*children.Child)) children.Child {
	c, err := n.tree.cfg.Book.Change(n.c.Name(), fn)
	if err != nil {
		n.log.Error("a new supervisor would not know this", "error", err)
	}
	return c
}

// verdict is why watching a process, or waiting to start one, ended.
type verdict int

const (
	// proceed: what was waited for has come.
	proceed verdict = iota
	// leave: this supervisor ends and the process goes on.
	leave
	// halt: the component shall end.
	halt
	// again: the process shall end and another one start.
	again
	// died: the process ended by itself; hung: it had to be killed.
	died
	hung
)

// run is the node's life.
func (n *node) run(ctx context.Context) {
	defer close(n.gone)
	defer n.answer(ErrStopped)
	var side sync.WaitGroup
	defer side.Wait()
	s := n.adopt()
	if s != nil {
		side.Go(func() { n.claim(ctx, s.process) })
	}
	v := proceed
	if s == nil {
		v = n.awaitDependencies(ctx)
	}
	for v == proceed {
		if s == nil {
			s, v = n.start(ctx)
		}
		if s != nil {
			v = n.attend(ctx, s)
			s = nil
		}
	}
	if v == halt {
		n.update(func(c *status.Component) {
			c.Phase, c.Reason, c.PID, c.NextStart = status.Stopped, "", 0, time.Time{}
		})
	}
}

// attend watches one process to its end and returns proceed when another one shall start.
func (n *node) attend(ctx context.Context, s *session) verdict {
	v := n.watch(ctx, s)
	switch v {
	case leave:
		s.release()
		return leave
	case halt, again:
		n.drain(s)
		n.settle(s, s.ending, false)
		if v == halt {
			return halt
		}
		n.backoff.Reset()
		return proceed
	case hung:
		n.kill(s)
	}
	return n.pause(ctx, n.bury(s, v))
}

// awaitDependencies waits until each component that this one needs has been ready once.
func (n *node) awaitDependencies(ctx context.Context) verdict {
	for _, name := range n.c.After {
		n.update(func(c *status.Component) { c.Phase, c.Reason = status.Waiting, "waits for "+name })
		if v := n.await(ctx, n.tree.byName[name].proven, false); v != proceed {
			return v
		}
	}
	return proceed
}

// pause waits before the next start.
func (n *node) pause(ctx context.Context, d time.Duration) verdict {
	if d == 0 {
		return proceed
	}
	next := time.Now().Add(d)
	n.update(func(c *status.Component) { c.Phase, c.NextStart = status.Backoff, next })
	over := make(chan struct{})
	t := time.AfterFunc(d, func() { close(over) })
	defer t.Stop()
	return n.await(ctx, over, true)
}

// await waits for an event. With hasten, an operator's order ends the wait too; without, it is kept
// until the component is ready.
func (n *node) await(ctx context.Context, event <-chan struct{}, hasten bool) verdict {
	for {
		select {
		case <-event:
			return proceed
		case <-ctx.Done():
			return leave
		case <-n.stop:
			return halt
		case o := <-n.orders:
			n.accept(o)
			if hasten && o.cause == status.Operator {
				n.backoff.Reset()
				return proceed
			}
		}
	}
}

func (n *node) accept(o order) {
	if o.done != nil {
		n.waiting = append(n.waiting, o.done)
	}
}

// answer tells those who ordered a restart how it went.
func (n *node) answer(err error) {
	for _, w := range n.waiting {
		w <- err
	}
	n.waiting = nil
}

// stopAfter asks the node to end once others have.
func (n *node) stopAfter(others []*node) {
	for _, o := range others {
		<-o.gone
	}
	close(n.stop)
}

// prove notes that the component has been ready.
func (n *node) prove() { n.provenOnce.Do(func() { close(n.proven) }) }
