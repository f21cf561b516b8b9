// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// returnLimit is how long living components have to return their sockets before they are taken.
const returnLimit = time.Second

// adopt takes over what an earlier supervisor left, if it lives: the running process, which is not restarted for that
// whatever its version, and one that was draining. A candidate has been ended by then.
func (n *node) adopt(ctx context.Context) {
	was := n.tree.cfg.Book.Get(n.name)
	if was.Candidate != nil {
		n.record(func(c *children.Child) { c.Candidate = nil })
	}
	if was.Draining != nil {
		n.adoptDraining(ctx, *was.Draining)
	}
	if was.PID == 0 {
		return
	}
	s, err := n.take(was.Process)
	if err != nil {
		n.missed(was, err)
		return
	}
	n.running = s
	if was.ReadyAfter > 0 {
		s.readySince = was.Started.Add(was.ReadyAfter)
		n.prove()
	}
	if was.Moving {
		was = n.record(func(c *children.Child) { c.Moving = false })
	}
	n.update(func(c *status.Component) { c.Phase = status.Starting })
	n.showRunning(s, was)
	n.log.Info("adopted", "pid", was.PID, "token", was.Token, "child_version", was.Version)
	n.side.Go(func() { n.claim(ctx, s) })
}

// take makes a session of a recorded process.
func (n *node) take(was children.Process) (*session, error) {
	p, err := process.Adopt(was.PID, was.StartTime)
	if err != nil {
		return nil, err
	}
	at := recordedSlot(was.Slot)
	client, err := n.dial(at)
	if err != nil {
		p.Release()
		return nil, err
	}
	// It has answered an earlier supervisor, or has had time to: the judge of silence is in charge at once.
	s := &session{
		c: n.versionOf(was.Tree), slot: at, process: p, client: client, token: was.Token, started: was.Started,
		logged: n.logSize(), adopted: true, thaw: true, answered: true, changed: time.Now(),
	}
	s.judge = newJudge(s.c)
	n.enterGroup(s)
	return s, nil
}

// versionOf reads the tree that a process was started from. Of one that is gone, the next version stands for it.
func (n *node) versionOf(tree string) generation.Component {
	if tree == n.c.Tree {
		return n.c
	}
	c, err := n.tree.load(tree, n.name)
	if err != nil {
		n.log.Warn("the tree of a running process cannot be read", "error", err)
		return n.c
	}
	return c
}

// adoptDraining has a predecessor go on to end.
func (n *node) adoptDraining(ctx context.Context, was children.Process) {
	s, err := n.take(was)
	if err != nil {
		n.record(func(c *children.Child) { c.Draining = nil })
		return
	}
	n.draining = s
	n.update(func(c *status.Component) { c.Draining = was.PID })
	n.side.Go(func() { n.retire(ctx, s) })
}

// missed notes a death that no supervisor saw. It is no crash when the process was to make room for another.
func (n *node) missed(was children.Child, err error) {
	exit := err.Error()
	if errors.Is(err, process.ErrGone) {
		exit = "died while no supervisor watched"
	}
	cause := status.Crash
	if was.Moving {
		cause = status.Upgrade
	}
	r := n.record(func(c *children.Child) {
		c.PID, c.StartTime, c.Moving = 0, 0, false
		c.LastCause, c.LastExit = int32(cause), exit
		if !was.Moving {
			c.Crashes++
			c.Restarts++
		}
	})
	n.update(func(c *status.Component) {
		c.Crashes, c.Restarts, c.LastCause, c.LastExit = r.Crashes, r.Restarts, cause, exit
	})
	n.log.Warn("found dead", "exit", exit)
	if !was.Moving {
		n.reverse("it " + exit)
	}
}

// claim waits for the adopted process to return its sockets and takes out of it what it does not. What
// cannot be had stays with the process, which goes on listening; it is made anew at the next start.
func (n *node) claim(ctx context.Context, s *session) {
	sockets := n.tree.cfg.Sockets
	ctx, cancel := context.WithTimeout(ctx, returnLimit)
	defer cancel()
	want := socketsOf(s.c, s.slot)
	missing := sockets.Await(ctx, n.name, want)
	if len(missing) == 0 {
		n.log.Info("sockets returned", "sockets", len(want))
		return
	}
	err := sockets.Take(n.name, missing, s.process)
	if left := sockets.Missing(n.name, want); len(left) > 0 {
		n.log.Warn("sockets are held by the component alone", "missing", len(left), "error", err)
		return
	}
	n.log.Info("sockets taken, the component did not return them", "sockets", len(missing))
}

// sweep ends every process of the device that has no right to be there: candidates, which belong to an upgrade that ended
// with the earlier supervisor, and what it started and did not come to record. Neither ever had a token. Helpers of
// a recorded process are in its session and stay.
func (t *Tree) sweep() error {
	recorded := map[int]bool{}
	for name, c := range t.cfg.Book.All() {
		recorded[c.PID] = true
		if c.Draining != nil {
			recorded[c.Draining.PID] = true
		}
		if c.Candidate != nil {
			t.save(name, *c.Candidate)
		}
	}
	marked, err := process.FindByEnvironment(layout.EnvRoot+"="+t.cfg.Layout.Root, EnvComponent+"=")
	if err != nil {
		return err
	}
	var strays []*process.Process
	for _, p := range marked {
		if leader, err := unix.Getsid(p.PID); recorded[p.PID] || err == nil && recorded[leader] {
			p.Release()
			continue
		}
		t.cfg.Log.Warn("ending a process without a token that an earlier supervisor left", "pid", p.PID)
		strays = append(strays, p)
	}
	return process.KillAll(strays, killLimit)
}

// save takes the component's sockets out of a candidate that is to be ended: when the running process has died, it is the
// only one to hold them, with the callers who wait there.
func (t *Tree) save(name string, candidate children.Process) {
	n := t.node(name)
	if n == nil {
		return
	}
	p, err := process.Adopt(candidate.PID, candidate.StartTime)
	if err != nil {
		return
	}
	defer p.Release()
	if err := t.cfg.Sockets.Take(name, n.c.Manifest.Sockets, p); err != nil {
		n.log.Warn("sockets were not taken out of a candidate", "error", err)
	}
}

// retireRemoved ends components that an earlier supervisor ran and the generation no longer has.
func (t *Tree) retireRemoved() {
	for name, c := range t.cfg.Book.All() {
		if t.node(name) == nil && (c.Choice == nil || len(c.Processes()) > 1 || c.PID != 0) {
			t.retire(name, c)
		}
	}
}

func (t *Tree) retire(name string, was children.Child) {
	log := t.cfg.Log.With("child", name)
	for _, r := range was.Processes() {
		p, err := process.Adopt(r.PID, r.StartTime)
		if r.PID == 0 || err != nil {
			continue
		}
		log.Info("ending a component that was removed", "pid", r.PID)
		p.Signal(unix.SIGTERM)
		select {
		case <-p.Done():
		case <-time.After(killLimit / 2):
		}
		if err := p.Kill(killLimit); err != nil {
			log.Error("a removed component does not end", "error", err)
		}
		p.Release()
	}
	t.removeGroups(name)
	if err := t.erase(name); err != nil {
		log.Error("a removed component stays in the record", "error", err)
	}
}
