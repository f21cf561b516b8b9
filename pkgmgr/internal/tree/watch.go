// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/health"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
)

// The pause between two questions to a component that is not ready grows with the time it has not been:
// an eighth of it, between quickest and the health interval.
const quickest = 5 * time.Millisecond

// answer is the outcome of one question.
type answer struct {
	call      uint64
	readiness health.Readiness
	activated bool
	err       error
}

func (n *node) newJudge() health.Judge {
	h := n.c.Manifest.Health
	return health.Judge{Timeout: time.Duration(h.Timeout), Failures: h.Failures}
}

// most is how many questions may be open at once.
func (n *node) most() int {
	h := n.c.Manifest.Health
	return h.Failures + int(h.Timeout/max(h.Interval, 1)) + 1
}

// watch asks the process how it is until it ends, hangs, or someone wants something else of it.
func (n *node) watch(ctx context.Context, s *session) verdict {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, n.most())
	next := time.NewTimer(0)
	defer next.Stop()
	due := time.Now()
	for {
		select {
		case <-s.process.Done():
			return died
		case <-ctx.Done():
			return leave
		case <-n.stop:
			s.ending = status.Operator
			return halt
		case o := <-n.orders:
			n.accept(o)
			n.countRestart()
			s.ending = o.cause
			return again
		case a := <-answers:
			due = n.hear(s, a, due)
			next.Reset(time.Until(due))
		case <-next.C:
			due = n.ask(asking, s, due, answers)
			next.Reset(time.Until(due))
		}
		if n.isHung(s) {
			return hung
		}
	}
}

// ask puts one question, unless too many are open, and returns when the next is due.
func (n *node) ask(ctx context.Context, s *session, due time.Time, answers chan<- answer) time.Time {
	h, now := n.c.Manifest.Health, time.Now()
	if now.Sub(due) > time.Duration(h.Timeout)/2 {
		// This process itself was not running, so silence says nothing about the other one.
		s.judge.Forgive()
	}
	limit := time.Duration(h.Timeout)
	if !s.answered {
		limit = time.Duration(h.Start)
	}
	if s.answered && s.judge.Waiting() < n.most() || s.judge.Waiting() == 0 {
		call, activate := s.judge.Call(now), !s.activated
		go func() { answers <- question(ctx, s, call, activate, limit) }()
	}
	return now.Add(time.Duration(h.Interval))
}

// question asks once, and first hands over the token if the process does not have it. It runs outside the
// node's goroutine and reads only what never changes in a session.
func question(ctx context.Context, s *session, call uint64, activate bool, limit time.Duration) answer {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	a := answer{call: call}
	if activate {
		if a.err = s.client.Activate(ctx, s.token); a.err != nil {
			return a
		}
		a.activated = true
	}
	a.readiness, a.err = s.client.Health(ctx)
	return a
}

// hear takes an answer in and returns when the next question is due.
func (n *node) hear(s *session, a answer, due time.Time) time.Time {
	s.activated = s.activated || a.activated
	s.judge.Answer(a.call, a.err == nil)
	if a.err != nil {
		n.update(func(c *status.Component) { c.Reason = a.err.Error() })
		return due
	}
	s.answered = true
	now := time.Now()
	if a.readiness.Ready != s.ready {
		s.ready, s.changed = a.readiness.Ready, now
	}
	if s.ready {
		n.noteReady(s, now)
		return due
	}
	n.noteUnready(s, a.readiness.Reason)
	pause := max(quickest, min(now.Sub(s.changed)/8, time.Duration(n.c.Manifest.Health.Interval)))
	return now.Add(pause)
}

func (n *node) noteReady(s *session, now time.Time) {
	if s.readySince.IsZero() {
		s.readySince = now
		after := now.Sub(s.started)
		n.record(func(c *children.Child) { c.ReadyAfter = after })
		n.update(func(c *status.Component) { c.ReadyAfter = after })
		n.log.Info("ready", "after", after.Round(time.Millisecond).String())
	}
	n.update(func(c *status.Component) { c.Phase, c.Reason = status.Ready, "" })
	n.prove()
	n.answer(nil)
}

func (n *node) noteUnready(s *session, reason string) {
	phase := status.Starting
	if !s.readySince.IsZero() {
		phase = status.Unready
	}
	n.update(func(c *status.Component) { c.Phase, c.Reason = phase, reason })
}

// isHung gives the verdict on silence: before the first answer by the start limit, later by the judge.
func (n *node) isHung(s *session) bool {
	now := time.Now()
	if !s.answered {
		return now.Sub(s.started) >= time.Duration(n.c.Manifest.Health.Start)
	}
	return s.judge.Hung(now)
}

func (n *node) countRestart() {
	r := n.record(func(c *children.Child) { c.Restarts++ })
	n.update(func(c *status.Component) { c.Restarts = r.Restarts })
}
