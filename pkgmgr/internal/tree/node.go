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
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// node supervises one component: its running process, and beside it at most a candidate or a predecessor that drains.
type node struct {
	tree *Tree
	name string
	uid  uint32
	log  *slog.Logger

	orders chan order
	// calls are run by the node's goroutine, one at a time, between any two things that it does.
	calls chan call
	// stop is closed when the component shall end; gone when the node's goroutine has.
	stop, gone chan struct{}
	// adopted is closed when what an earlier supervisor left has been taken over, or was not there.
	adopted chan struct{}
	// proven is closed when the component has been ready once: dependants wait for it at their first start.
	proven     chan struct{}
	provenOnce sync.Once

	// What follows belongs to the node's goroutine; others read the view of it that the tree has.
	// c is what is started next; absent while nothing was cut over to yet, and c is the candidate's.
	c                            generation.Component
	absent                       bool
	running, candidate, draining *session
	backoff                      backoff.Backoff
	waiting                      []chan error
	removed                      bool
	// side are the goroutines that wait for processes which are not the running one.
	side sync.WaitGroup
}

// call is work for the node's goroutine. Any verdict but stay ends what the node was doing.
type call func(ctx context.Context) verdict

// order asks a node to restart its component.
type order struct {
	cause status.Cause
	// done, if not nil, gets the outcome; it has room for it.
	done chan error
}

func newNode(t *Tree, c generation.Component, uid uint32) *node {
	n := &node{
		tree: t, name: c.Name(), uid: uid,
		log:     t.cfg.Log.With("child", c.Name()),
		orders:  make(chan order, 1),
		calls:   make(chan call),
		stop:    make(chan struct{}),
		gone:    make(chan struct{}),
		adopted: make(chan struct{}),
		proven:  make(chan struct{}),
	}
	n.install(c)
	return n
}

// install makes a version the one that is started.
func (n *node) install(c generation.Component) {
	n.c = c
	r := c.Manifest.Restart
	n.backoff = backoff.Backoff{Min: time.Duration(r.MinBackoff), Max: time.Duration(r.MaxBackoff)}
}

func (n *node) firstStatus() status.Component {
	m := n.c.Manifest
	was := n.tree.cfg.Book.Get(m.Name)
	return status.Component{
		Name: m.Name, Daemon: m.Daemon, Version: m.Version, Summary: m.Summary,
		Digest: n.c.Digest(), Tree: n.c.Tree, Absent: n.absent,
		Phase: status.Waiting, UID: n.uid,
		Crashes: was.Crashes, Restarts: was.Restarts, LastExit: was.LastExit, LastCause: status.Cause(was.LastCause),
		Trial: trialStatus(was.Trial), Reversal: reversalStatus(was.Reversal),
	}
}

// update changes the component's row in the status table.
func (n *node) update(fn func(*status.Component)) { n.tree.table.Update(n.name, fn) }

// record changes the component's entry in the book. A book that cannot be written costs a later
// adoption, not this process.
func (n *node) record(fn func(*children.Child)) children.Child {
	c, err := n.tree.cfg.Book.Change(n.name, fn)
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
	// stay: nothing has changed.
	stay
	// replaced: another process runs now, or none and one is to be started.
	replaced
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
	defer n.side.Wait()
	ctx, cancel := context.WithCancel(ctx) // ends what goes on beside this goroutine
	defer cancel()
	n.adopt(ctx)
	close(n.adopted)
	n.show()
	v := proceed
	switch {
	case n.absent:
		v = n.await(ctx, nil, false)
	case n.running == nil:
		v = n.awaitDependencies(ctx)
	}
	for v == proceed || v == replaced {
		if n.running == nil {
			v = n.start(ctx)
		}
		if n.running != nil {
			v = n.attend(ctx)
		}
	}
	n.endOthers(v)
	if v != halt {
		return
	}
	n.update(func(c *status.Component) {
		c.Phase, c.Reason, c.PID, c.NextStart = status.Stopped, "", 0, time.Time{}
	})
	if n.removed {
		n.tree.forget(n)
	}
}

// attend watches the running process to its end and returns proceed when another one shall start.
func (n *node) attend(ctx context.Context) verdict {
	s := n.running
	v := n.watch(ctx, s)
	switch v {
	case replaced:
		return v
	case leave:
		s.release()
		return v
	case halt, again:
		n.drain(s)
		n.running = nil
		n.settle(s, s.ending, false)
		if v == halt {
			return halt
		}
		n.backoff.Reset()
		return proceed
	case hung:
		n.kill(s)
	}
	n.running = nil
	return n.pause(ctx, n.bury(s, v))
}

// awaitDependencies waits until each component that this one needs has been ready once.
func (n *node) awaitDependencies(ctx context.Context) verdict {
	for _, name := range n.c.After {
		other := n.tree.node(name)
		if other == nil {
			continue
		}
		n.update(func(c *status.Component) { c.Phase, c.Reason = status.Waiting, "waits for "+name })
		if v := n.await(ctx, other.proven, false); v != proceed {
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
		case work := <-n.calls:
			if v := work(ctx); v != stay {
				return v
			}
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

// post has the node's goroutine do something, unless its life ends first. It does not wait for it to be done.
func (n *node) post(ctx context.Context, work call) {
	select {
	case n.calls <- work:
	case <-ctx.Done():
	}
}

// do has the node's goroutine do something and waits for the outcome that fn reports. When ctx ends first, the work is
// done all the same once it was begun.
func (n *node) do(ctx context.Context, fn func(ctx context.Context, done chan<- error) verdict) error {
	done := make(chan error, 1)
	select {
	case n.calls <- func(ctx context.Context) verdict { return fn(ctx, done) }:
	case <-n.gone:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-n.gone:
	}
	select {
	case err := <-done: // the outcome was that the node ends
		return err
	default:
		return ErrStopped
	}
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

// sessions are the sessions there are.
func (n *node) sessions() []*session {
	var out []*session
	for _, s := range []*session{n.running, n.candidate, n.draining} {
		if s != nil {
			out = append(out, s)
		}
	}
	return out
}

// current is the version that runs, or is to be started when none does.
func (n *node) current() generation.Component {
	if n.running != nil {
		return n.running.c
	}
	return n.c
}

// keptSockets are those that the component's processes have, and the version that is started next.
func (n *node) keptSockets() []manifest.Socket {
	out := append([]manifest.Socket(nil), n.c.Manifest.Sockets...)
	for _, s := range n.sessions() {
		out = append(out, socketsOf(s.c, s.slot)...)
	}
	return out
}

// freeSlot is one that no process has.
func (n *node) freeSlot() slot {
	taken := map[slot]bool{}
	for _, s := range n.sessions() {
		taken[s.slot] = true
	}
	for _, s := range slots() {
		if !taken[s] {
			return s
		}
	}
	return slotA // there are never three processes
}
