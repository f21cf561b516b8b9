// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/backoff"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/logs"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
)

const (
	// drainCall bounds the request to drain; a process that does not take it gets SIGTERM.
	drainCall = time.Second
	// drainGrace is added to the manifest's drain limit before SIGKILL.
	drainGrace = 500 * time.Millisecond
)

// drain asks the process to end and waits for it, no longer than the manifest allows.
func (n *node) drain(s *session) {
	n.update(func(c *status.Component) { c.Phase, c.Reason = status.Stopping, "draining" })
	limit := time.Duration(s.c.Manifest.Drain)
	n.askToEnd(s, limit)
	t := time.NewTimer(limit + drainGrace)
	defer t.Stop()
	select {
	case <-s.process.Done():
	case <-t.C:
		n.log.Warn("did not end within its drain limit, sending SIGKILL", "limit", limit.String())
		n.kill(s)
	}
}

// askToEnd has the process begin to drain.
func (n *node) askToEnd(s *session, limit time.Duration) {
	ctx, cancel := s.within(min(limit, drainCall))
	defer cancel()
	if err := s.client.Drain(ctx, limit); err != nil && !s.ended() {
		n.log.Warn("drain was not accepted, sending SIGTERM", "error", err)
		s.process.Signal(unix.SIGTERM)
	}
}

// kill ends the process and waits until it is gone. A process stuck in the kernel is waited for as long
// as it takes: no other may start beside it.
func (n *node) kill(s *session) {
	for {
		err := s.process.Kill(killLimit)
		if err == nil {
			return
		}
		n.log.Error("waiting for the old process to vanish", "error", err)
		n.update(func(c *status.Component) { c.Reason = err.Error() })
	}
}

// settle notes the end of the running process and disposes of it.
func (n *node) settle(s *session, cause status.Cause, crashed bool) children.Child {
	exit, reason := s.process.Exit().String(), n.obituary(s)
	n.dispose(s)
	r := n.record(func(c *children.Child) {
		c.PID, c.StartTime, c.Moving = 0, 0, false
		c.LastCause, c.LastExit = int32(cause), exit
		if crashed {
			c.Crashes++
			c.Restarts++
		}
	})
	n.update(func(c *status.Component) {
		c.PID, c.Crashes, c.Restarts, c.LastCause, c.LastExit = 0, r.Crashes, r.Restarts, cause, exit
		c.ReadyAfter, c.Adopted = 0, false
		if crashed {
			c.Phase, c.Reason = status.Backoff, reason
		}
	})
	return r
}

// dispose ends what an ended process may have left in its control group and lets go of both.
func (n *node) dispose(s *session) {
	if s.group != nil {
		if err := s.group.Kill(killLimit); err != nil {
			n.log.Error("processes are left", "error", err)
		}
	}
	s.release()
}

// obituary says how a process ended, and its last words when it did so by itself.
func (n *node) obituary(s *session) string {
	text := "ended: " + s.process.Exit().String()
	if s.process.Exit().Signaled(unix.SIGKILL) {
		return text
	}
	if words := logs.LastWords(n.tree.cfg.Layout.LogFile(n.name), s.logged); words != "" {
		text += ": " + words
	}
	return text
}

// bury notes a death and returns the pause before the next start.
func (n *node) bury(s *session, v verdict) time.Duration {
	// At once: what follows takes some time, and nobody shall take the component for ready meanwhile.
	n.update(func(c *status.Component) {
		c.PID, c.Phase, c.Reason = 0, status.Unready, "ended: "+s.process.Exit().String()
	})
	cause, killed := status.Crash, s.process.Exit().Signaled(unix.SIGKILL)
	switch {
	case v == hung:
		cause = status.Liveness
	case killed && s.group != nil && s.group.OutOfMemoryKills() > s.kills:
		cause = status.OutOfMemory
	}
	foreign := cause == status.Crash && killed && !s.readySince.IsZero()
	r := n.settle(s, cause, true)
	pause := n.nextPause(s, foreign)
	n.log.Warn("died", "exit", r.LastExit, "hung", v == hung, "out_of_memory", cause == status.OutOfMemory, "crashes", r.Crashes, "next_start_in", pause.String())
	n.answer(ErrNotReady)
	n.restartOthers(s)
	if row, ok := n.tree.table.Get(n.name); ok && n.reverse(row.Reason) {
		return 0
	}
	return pause
}

// endOthers ends the processes beside the running one, or lets go of them when the device goes on without this supervisor:
// the next one ends what has no token.
func (n *node) endOthers(v verdict) {
	for _, s := range []*session{n.candidate, n.draining} {
		switch {
		case s == nil:
		case v == leave:
			s.release()
		default:
			n.kill(s)
			n.dispose(s)
		}
	}
	if v == leave || n.candidate == nil && n.draining == nil {
		return
	}
	n.verdict(n.candidate, ErrStopped)
	n.candidate, n.draining = nil, nil
	n.record(func(c *children.Child) { c.Candidate, c.Draining = nil, nil })
	n.update(func(c *status.Component) { c.Candidate, c.Draining = nil, 0 })
}

// nextPause asks the backoff; s is nil when no process came to be.
func (n *node) nextPause(s *session, foreign bool) time.Duration {
	d := backoff.Death{Foreign: foreign}
	if s != nil {
		d.Ready = s.readyFor(time.Now())
	}
	return n.backoff.Next(d)
}

// restartOthers restarts the components that the manifest ties to this one.
func (n *node) restartOthers(s *session) {
	for _, name := range s.c.Manifest.Restart.RestForOne {
		other := n.tree.node(name)
		if other == nil || other == n {
			continue
		}
		select {
		case other.orders <- order{cause: status.Crash}:
			n.log.Info("restarts another with it", "other", name)
		default: // a restart is ordered already
		}
	}
}
