// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"fmt"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
)

// Limits bound a cutover.
type Limits struct {
	// Freeze bounds the time until the old process is frozen or gone, Ready that from the activation until the new
	// one is ready.
	Freeze, Ready time.Duration
}

const (
	defaultFreeze   = time.Second
	defaultReady    = 10 * time.Second
	defaultRehearse = 2 * time.Second
)

// Outcome is what a cutover took.
type Outcome struct {
	// Frozen is how long nobody took calls, ReadyAfter the time from the activation until ready.
	Frozen, ReadyAfter time.Duration
	Token              uint64
	// Unchanged: the version ran already.
	Unchanged bool
}

// Cutover makes the staged version with the digest the running one. When it fails, the version before runs as it did, or is
// started again.
func (t *Tree) Cutover(ctx context.Context, name, digest string, limits Limits) (Outcome, error) {
	n, err := t.known(name)
	if err != nil {
		return Outcome{}, err
	}
	if limits.Freeze <= 0 {
		limits.Freeze = defaultFreeze
	}
	if limits.Ready <= 0 {
		limits.Ready = defaultReady
	}
	result := make(chan Outcome, 1)
	err = n.do(ctx, func(ctx context.Context, done chan<- error) verdict {
		out, v, err := n.cutover(ctx, digest, limits)
		result <- out
		done <- err
		return v
	})
	if err != nil {
		return Outcome{}, err
	}
	return <-result, nil
}

// cutover runs in the node's goroutine, which does nothing else meanwhile.
func (n *node) cutover(ctx context.Context, digest string, limits Limits) (Outcome, verdict, error) {
	s := n.candidate
	switch {
	case digest != "" && !n.absent && n.current().Digest() == digest:
		n.discard(fmt.Errorf("version %s runs already", n.current().Manifest.Version))
		return Outcome{Unchanged: true, Token: n.tree.cfg.Book.Get(n.name).Token}, stay, nil
	case s == nil:
		return Outcome{}, stay, fmt.Errorf("%w: stage the version first", ErrNothingStaged)
	case s.c.Digest() != digest:
		return Outcome{}, stay, fmt.Errorf("%w: %q is staged, not %q", ErrNothingStaged, s.c.Digest(), digest)
	case !s.staged:
		return Outcome{}, stay, fmt.Errorf("%w: the staged process has not answered yet", ErrNothingStaged)
	}
	token, err := n.tree.cfg.Tokens.Next()
	if err != nil {
		return Outcome{}, stay, err
	}
	h := &handover{n: n, ctx: ctx, old: n.running, new: s, token: token, limits: limits}
	if n.running != nil {
		n.record(func(c *children.Child) { c.Moving = true })
	}
	for _, step := range h.steps() {
		if err := step(); err != nil {
			v, what := h.undo()
			return Outcome{}, v, fmt.Errorf("%w: version %s: %w; %s", ErrHandover, s.c.Manifest.Version, err, what)
		}
	}
	h.settle()
	return h.outcome(), replaced, nil
}

// Rehearse asks the running process, if there is one, and the staged one what they would write.
func (t *Tree) Rehearse(ctx context.Context, name string, limit time.Duration) (running, candidate *lifecyclev1.RehearseResponse, err error) {
	n, err := t.known(name)
	if err != nil {
		return nil, nil, err
	}
	if limit <= 0 {
		limit = defaultRehearse
	}
	var old, new *session
	err = n.do(ctx, func(_ context.Context, done chan<- error) verdict {
		old, new = n.running, n.candidate
		done <- nil
		return stay
	})
	if err != nil {
		return nil, nil, err
	}
	if new == nil {
		return nil, nil, fmt.Errorf("%w: stage a version first", ErrNothingStaged)
	}
	if candidate, err = new.rehearse(limit); err != nil {
		return nil, nil, fmt.Errorf("the staged version: %w", err)
	}
	if old != nil {
		if running, err = old.rehearse(limit); err != nil {
			return nil, nil, fmt.Errorf("the running version: %w", err)
		}
	}
	return running, candidate, nil
}

// rehearse may run beside the node's goroutine.
func (s *session) rehearse(limit time.Duration) (*lifecyclev1.RehearseResponse, error) {
	ctx, cancel := s.within(limit)
	defer cancel()
	return s.client.Rehearse(ctx)
}

// retire lets the predecessor finish what it began, beside the node's goroutine.
func (n *node) retire(ctx context.Context, s *session) {
	limit := time.Duration(s.c.Manifest.Drain)
	n.askToEnd(s, limit)
	t := time.NewTimer(limit + drainGrace)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return
	case <-s.process.Done():
	case <-t.C:
		n.log.Warn("the version before did not end within its drain limit, sending SIGKILL", "limit", limit.String())
		n.kill(s)
	}
	n.post(ctx, func(context.Context) verdict {
		n.drained(s)
		return stay
	})
}

// drained notes that the predecessor has ended.
func (n *node) drained(s *session) {
	if n.draining != s {
		return
	}
	n.draining = nil
	exit := s.process.Exit().String()
	n.dispose(s)
	n.record(func(c *children.Child) { c.Draining, c.LastExit = nil, exit })
	n.update(func(c *status.Component) { c.Draining, c.LastExit = 0, exit })
	n.show()
	n.log.Info("the version before has ended", "pid", s.process.PID, "exit", exit)
}

// endDraining makes the predecessor end at once: its place is needed.
func (n *node) endDraining() {
	if s := n.draining; s != nil {
		n.kill(s)
		n.drained(s)
	}
}
