// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
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
	// thawed, activated: the process has taken these.
	thawed, activated bool
	err               error
}

func newJudge(c generation.Component) health.Judge {
	h := c.Manifest.Health
	return health.Judge{Timeout: time.Duration(h.Timeout), Failures: h.Failures}
}

// most is how many questions may be open at once.
func (s *session) most() int {
	h := s.c.Manifest.Health
	return h.Failures + int(h.Timeout/max(h.Interval, 1)) + 1
}

// watch asks the process how it is until it ends, hangs, or someone wants something else of it.
func (n *node) watch(ctx context.Context, s *session) verdict {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, s.most())
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
		case work := <-n.calls:
			if v := work(ctx); v != stay {
				return v
			}
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
	h, now := s.c.Manifest.Health, time.Now()
	if now.Sub(due) > time.Duration(h.Timeout)/2 {
		// This process itself was not running, so silence says nothing about the other one.
		s.judge.Forgive()
	}
	limit := time.Duration(h.Timeout)
	if !s.answered {
		limit = time.Duration(h.Start)
	}
	if s.answered && s.judge.Waiting() < s.most() || s.judge.Waiting() == 0 {
		q := question{client: s.client, call: s.judge.Call(now), limit: limit, thaw: s.thaw}
		if !s.activated {
			q.token = s.token
		}
		go func() { answers <- q.ask(ctx) }()
	}
	return now.Add(time.Duration(h.Interval))
}

// question is what is asked at once.
type question struct {
	client *health.Client
	call   uint64
	limit  time.Duration
	// token is handed over first, unless it is 0; thaw takes a freeze back before that.
	token uint64
	thaw  bool
}

// ask puts the question. It runs outside the node's goroutine.
func (q question) ask(ctx context.Context) answer {
	ctx, cancel := context.WithTimeout(ctx, q.limit)
	defer cancel()
	a := answer{call: q.call}
	if q.thaw {
		if a.err = q.client.Unfreeze(ctx); a.err != nil {
			return a
		}
		a.thawed = true
	}
	if q.token != 0 {
		if a.err = q.client.Activate(ctx, q.token); a.err != nil {
			return a
		}
		a.activated = true
	}
	a.readiness, a.err = q.client.Health(ctx)
	return a
}

// hear takes an answer in and returns when the next question is due.
func (n *node) hear(s *session, a answer, due time.Time) time.Time {
	s.activated = s.activated || a.activated
	s.thaw = s.thaw && !a.thawed
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
	pause := max(quickest, min(now.Sub(s.changed)/8, time.Duration(s.c.Manifest.Health.Interval)))
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
		return now.Sub(s.started) >= time.Duration(s.c.Manifest.Health.Start)
	}
	return s.judge.Hung(now)
}

func (n *node) countRestart() {
	r := n.record(func(c *children.Child) { c.Restarts++ })
	n.update(func(c *status.Component) { c.Restarts = r.Restarts })
}
