// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/health"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

const (
	// lenience is added to a limit that a process keeps by itself before the supervisor stops to wait.
	lenience = 250 * time.Millisecond
	// thawLimit bounds taking a freeze back.
	thawLimit = time.Second
	// undoLimit bounds how long a version that failed may answer those that it has accepted.
	undoLimit = 500 * time.Millisecond
	// endLag is how much earlier than the process its connections may be seen to end.
	endLag = 100 * time.Millisecond
	// flapLimit is how long a cutover may take before the component is shown as not ready.
	flapLimit = 500 * time.Millisecond
)

// handover moves a component from one process to another. It is used once, by the node's goroutine.
type handover struct {
	n      *node
	ctx    context.Context
	old    *session // nil when none runs
	new    *session
	token  uint64
	limits Limits

	// stopped is when the old process stopped taking calls, activated when the new one began, ready when it was.
	stopped, activated, ready time.Time
	// frozen: the old one may be; tainted: the new one has taken more than its inputs; decided: the record names it.
	frozen, tainted, decided bool
}

// steps are what the mode of handover asks for, in order. An error in any of them is followed by undo.
func (h *handover) steps() []func() error {
	finish := []func() error{h.decide, h.activate, h.await}
	if h.old == nil {
		return finish
	}
	switch h.mode() {
	case manifest.Takeover:
		return append([]func() error{h.freeze}, finish...)
	case manifest.Transfer:
		return append([]func() error{h.freeze, h.transfer, h.end}, finish...)
	default:
		return append([]func() error{h.end}, finish...)
	}
}

// mode is what both versions say. Where they differ, only a dead process is sure not to write.
func (h *handover) mode() manifest.Handover {
	m := h.new.c.Manifest.Handover
	if h.old.c.Manifest.Handover != m {
		return manifest.Replace
	}
	return m
}

// freeze has the old process take no more calls. One of an earlier level cannot, and is ended.
func (h *handover) freeze() error {
	h.stopped, h.frozen = time.Now(), true
	ctx, cancel := h.old.within(h.limits.Freeze + lenience)
	defer cancel()
	err := h.old.client.Freeze(ctx, h.limits.Freeze)
	if health.Unknown(err) {
		return h.end()
	}
	return err
}

// transfer carries over what the new process cannot derive.
func (h *handover) transfer() error {
	if h.old.ended() {
		return nil
	}
	h.tainted = true
	ctx, cancel := h.old.within(h.left())
	defer cancel()
	err := h.old.client.Transfer(ctx, h.new.client)
	if health.Unknown(err) {
		return nil
	}
	return err
}

// left is what remains of the limit for the old process, and never nothing.
func (h *handover) left() time.Duration {
	return max(h.limits.Freeze-time.Since(h.stopped), lenience)
}

// end drains the old process and waits until it is dead.
func (h *handover) end() error {
	if h.stopped.IsZero() {
		h.stopped = time.Now()
	}
	if !h.old.ended() {
		h.n.askToEnd(h.old, h.left())
		t := time.NewTimer(h.left())
		defer t.Stop()
		select {
		case <-h.old.process.Done():
		case <-t.C:
			h.n.log.Warn("the version before did not end within the limit of the cutover, sending SIGKILL", "limit", h.limits.Freeze.String())
			h.n.kill(h.old)
		}
	}
	return nil
}

// decide makes the new process the running one in the record, in one write. From here on a new supervisor goes on with it.
func (h *handover) decide() error {
	if h.new.ended() {
		return h.newEnded()
	}
	n := h.n
	choice := n.choice(h.new.c.Tree)
	h.new.token, h.decided = h.token, true
	p, now := h.new.record(), time.Now()
	_, err := n.tree.cfg.Book.Change(n.name, func(c *children.Child) {
		before := n.before(c.Trial, now)
		if before.Tree == p.Tree {
			before = nil // back to what was confirmed
		}
		if h.old != nil && h.old.ended() {
			c.LastExit = h.old.process.Exit().String()
		} else if h.old != nil {
			old := h.old.record()
			c.Draining = &old
		}
		c.Process, c.ReadyAfter, c.Moving, c.Candidate = p, 0, false, nil
		c.Choice, c.Trial, c.Reversal, c.LastCause = choice, before, nil, int32(status.Upgrade)
	})
	return err
}

// before is the confirmed version to go back to from the next one.
func (n *node) before(trial *children.Trial, now time.Time) *children.Trial {
	switch {
	case trial != nil && trial.Tree != "":
		return &children.Trial{Tree: trial.Tree, Version: trial.Version, Since: now}
	case n.absent || trial != nil:
		return &children.Trial{Since: now}
	}
	c := n.current()
	return &children.Trial{Tree: c.Tree, Version: c.Manifest.Version, Since: now}
}

// activate gives the new process its token; it takes calls from then on.
func (h *handover) activate() error {
	ctx, cancel := h.new.within(h.limits.Ready)
	defer cancel()
	if err := h.new.client.Activate(ctx, h.token); err != nil {
		return h.orEnded(err)
	}
	h.activated = time.Now()
	h.new.activated, h.new.answered = true, true
	h.new.ready, h.new.changed = false, h.activated
	h.n.showMoved(h)
	return nil
}

// await waits until the new process is ready.
func (h *handover) await() error {
	ctx, cancel := h.new.within(h.limits.Ready)
	defer cancel()
	stop := context.AfterFunc(h.ctx, cancel)
	defer stop()
	reason := "it has not answered"
	for {
		r, err := h.new.client.Health(ctx)
		switch {
		case err == nil && r.Ready:
			h.ready = time.Now()
			return nil
		case err == nil:
			reason = r.Reason
		}
		if time.Since(h.stopped) > flapLimit && !h.stopped.IsZero() {
			h.n.update(func(c *status.Component) { c.Phase, c.Reason = status.Starting, reason })
		}
		if h.ctx.Err() != nil {
			return nil // this supervisor ends; the next one goes on with the new process
		}
		select {
		case <-ctx.Done():
			return h.orEnded(fmt.Errorf("it was not ready within %v: %s", h.limits.Ready, reason))
		case <-time.After(quickest):
		}
	}
}

// orEnded tells an error as what it is when the new process has ended. Its connection ends a little earlier than it.
func (h *handover) orEnded(err error) error {
	select {
	case <-h.new.process.Done():
		return h.newEnded()
	case <-time.After(endLag):
		return err
	}
}

func (h *handover) newEnded() error { return errors.New("it " + h.n.obituary(h.new)) }

// settle makes the new process the one that the node watches, and lets the old one finish.
func (h *handover) settle() {
	n, s := h.n, h.new
	n.candidate, n.running, n.absent = nil, s, false
	n.install(s.c)
	if h.old != nil {
		if h.old.ended() {
			n.dispose(h.old)
		} else {
			n.draining = h.old
			n.side.Go(func() { n.retire(h.ctx, h.old) })
		}
	}
	n.tree.cfg.Sockets.Retain(n.name, n.keptSockets())
	if !h.ready.IsZero() {
		s.readySince, s.ready = h.ready, true
		r := n.record(func(c *children.Child) { c.ReadyAfter = h.ready.Sub(h.activated) })
		n.update(func(c *status.Component) { c.Phase, c.Reason, c.ReadyAfter = status.Ready, "", r.ReadyAfter })
		n.prove()
		n.answer(nil)
	}
	n.show()
	o := h.outcome()
	n.log.Info("cut over", "child_version", s.c.Manifest.Version, "pid", s.process.PID, "token", s.token,
		"mode", string(s.c.Manifest.Handover), "frozen", o.Frozen.String(), "ready_after", o.ReadyAfter.String())
}

func (h *handover) outcome() Outcome {
	o := Outcome{Token: h.token}
	if h.old != nil {
		o.Frozen = h.activated.Sub(h.stopped)
	}
	if !h.ready.IsZero() {
		o.ReadyAfter = h.ready.Sub(h.activated)
	}
	return o
}

// undo brings the version before back after a failed step, and says in words what runs now.
func (h *handover) undo() (verdict, string) {
	n := h.n
	if h.tainted || h.decided || h.new.ended() {
		crashed := h.new.ended()
		h.endNew()
		n.dispose(h.new)
		n.candidate = nil
		n.record(func(c *children.Child) {
			c.Candidate = nil
			if crashed && h.decided {
				c.Crashes++
			}
		})
		n.update(func(c *status.Component) { c.Candidate = nil })
	}
	if h.old == nil {
		return h.undoFirst()
	}
	version := "version " + h.old.c.Manifest.Version
	if !h.old.ended() {
		err := h.thaw()
		if err == nil {
			return stay, version + " goes on"
		}
		n.log.Error("the version before does not go on after a freeze", "error", err)
		n.kill(h.old)
	}
	exit := h.old.process.Exit().String()
	n.dispose(h.old)
	n.running = nil
	n.install(h.old.c)
	h.restore(children.Process{Token: h.old.token, Tree: h.old.c.Tree, Version: h.old.c.Manifest.Version}, exit)
	return replaced, version + " is started again"
}

// endNew ends the new process. When it has begun to answer callers, it may finish with those that it has.
func (h *handover) endNew() {
	if !h.activated.IsZero() && !h.new.ended() {
		h.n.askToEnd(h.new, undoLimit)
		select {
		case <-h.new.process.Done():
		case <-time.After(undoLimit):
		}
	}
	h.n.kill(h.new)
}

// undoFirst is undo where no process ran before.
func (h *handover) undoFirst() (verdict, string) {
	n := h.n
	if n.absent {
		return n.orVanish(), "the component is not part of the device"
	}
	h.restore(children.Process{Tree: n.c.Tree, Version: n.c.Manifest.Version}, "")
	return stay, "version " + n.c.Manifest.Version + " is started again"
}

// thaw makes the old process take calls again, with a token that is newer than the one that the new process had.
func (h *handover) thaw() error {
	n := h.n
	if h.decided {
		token, err := n.tree.cfg.Tokens.Next()
		if err != nil {
			return err
		}
		h.old.token = token
	}
	h.restore(h.old.record(), "")
	ctx, cancel := h.old.within(thawLimit)
	defer cancel()
	if h.decided {
		if err := h.old.client.Activate(ctx, h.old.token); err != nil {
			return err
		}
	}
	return h.old.client.Unfreeze(ctx)
}

// restore makes the record and the component's row say that the version before is the running one.
func (h *handover) restore(p children.Process, exit string) {
	n := h.n
	r := n.record(func(c *children.Child) {
		c.Moving = false
		if exit != "" {
			c.PID, c.StartTime, c.LastExit = 0, 0, exit
		}
		if !h.decided {
			return
		}
		before := c.Trial
		c.Process, c.Draining, c.Trial = p, nil, nil
		c.Choice = n.choice(p.Tree)
		if before != nil && before.Tree != p.Tree && before.Tree != "" {
			c.Trial = before // the version before was on trial itself
		}
	})
	if h.decided && p.PID != 0 {
		n.showRunning(h.old, r)
		n.update(func(c *status.Component) { c.Phase, c.Reason = status.Ready, "" })
	}
	n.update(func(c *status.Component) {
		c.Crashes, c.LastExit, c.LastCause, c.Trial = r.Crashes, r.LastExit, status.Cause(r.LastCause), trialStatus(r.Trial)
	})
	n.show()
}

// showMoved makes the component's row the new process's. Its phase stays what it was: nobody is refused.
func (n *node) showMoved(h *handover) {
	r := n.tree.cfg.Book.Get(n.name)
	n.showRunning(h.new, r)
	n.update(func(c *status.Component) {
		c.Candidate, c.Draining = nil, 0
		if r.Draining != nil {
			c.Draining = r.Draining.PID
		}
		if c.Phase != status.Ready {
			c.Phase, c.Reason = status.Starting, ""
		}
	})
}
