// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/logs"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
)

// Stage starts another version beside the running one, without a token, and waits until it has answered and serves
// what its manifest says. A limit of 0 means the manifest's.
func (t *Tree) Stage(ctx context.Context, name, tree string, limit time.Duration) error {
	c, err := t.load(tree, name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadTree, err)
	}
	n, c, err := t.admit(c)
	if err != nil {
		return err
	}
	if limit <= 0 {
		limit = time.Duration(c.Manifest.Health.Start)
	}
	return n.do(ctx, func(ctx context.Context, done chan<- error) verdict {
		return n.stage(ctx, c, limit, done)
	})
}

// Discard ends a staged process, if there is one.
func (t *Tree) Discard(ctx context.Context, name string) error {
	n, err := t.known(name)
	if err != nil {
		return err
	}
	return n.do(ctx, func(_ context.Context, done chan<- error) verdict {
		n.discard(errors.New("it was discarded"))
		done <- nil
		return n.orVanish()
	})
}

// stage runs in the node's goroutine; done gets the outcome, now or later.
func (n *node) stage(ctx context.Context, c generation.Component, limit time.Duration, done chan<- error) verdict {
	if s := n.candidate; s != nil && s.c.Tree == c.Tree {
		if s.staged {
			done <- nil
		} else {
			s.verdicts = append(s.verdicts, done)
		}
		return stay
	}
	n.discard(errors.New("another version is staged in its place"))
	n.endDraining()
	if n.absent {
		n.install(c)
	}
	s, err := n.spawn(ctx, c, n.freeSlot())
	if err != nil {
		done <- fmt.Errorf("%w: %w", ErrUnfit, err)
		return n.orVanish()
	}
	s.verdicts = append(s.verdicts, done)
	n.candidate = s
	p := s.record()
	n.record(func(c *children.Child) { c.Candidate = &p })
	n.showCandidate(s, nil)
	n.log.Info("staged", "pid", p.PID, "child_version", p.Version, "tree", p.Tree)
	n.side.Go(func() {
		about, err := s.prove(limit)
		n.post(ctx, func(context.Context) verdict { return n.judge(s, about, err) })
	})
	n.side.Go(func() {
		select {
		case <-s.process.Done():
			n.post(ctx, func(context.Context) verdict { return n.candidateEnded(s) })
		case <-ctx.Done():
		}
	})
	return stay
}

// prove asks a candidate what it is and compares that with its manifest.
func (s *session) prove(limit time.Duration) (*lifecyclev1.DescribeResponse, error) {
	ctx, cancel := s.within(limit)
	defer cancel()
	about, err := s.client.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: within %v: %w", ErrSilent, limit, err)
	}
	m := s.c.Manifest
	if about.GetComponent() != m.Name || about.GetVersion() != m.Version {
		return nil, fmt.Errorf("%w: its manifest says %s %s, the process says that it is %s %s", ErrUnfit, m.Name, m.Version, about.GetComponent(), about.GetVersion())
	}
	serves := map[string]uint32{}
	for _, p := range about.GetProvides() {
		serves[p.GetName()] = p.GetLevel()
	}
	for _, p := range m.Provides {
		if serves[p.Contract] != p.Level {
			return nil, fmt.Errorf("%w: its manifest provides %s at level %d, the process says level %d", ErrUnfit, p.Contract, p.Level, serves[p.Contract])
		}
		delete(serves, p.Contract)
	}
	for contract := range serves {
		return nil, fmt.Errorf("%w: the process serves %s, its manifest does not provide it", ErrUnfit, contract)
	}
	return about, nil
}

// judge takes the proof of a candidate in.
func (n *node) judge(s *session, about *lifecyclev1.DescribeResponse, err error) verdict {
	if n.candidate != s {
		return stay // it was discarded meanwhile
	}
	if s.ended() {
		return n.candidateEnded(s)
	}
	if err != nil {
		n.log.Warn("the staged process is not fit", "error", err)
		n.discard(err)
		return n.orVanish()
	}
	s.staged = true
	n.showCandidate(s, about.GetProvides())
	n.verdict(s, nil)
	return stay
}

// candidateEnded notes that a candidate has ended by itself. Its end is told until it is discarded.
func (n *node) candidateEnded(s *session) verdict {
	if n.candidate != s {
		return stay
	}
	text := "ended: " + s.process.Exit().String()
	if words := logs.LastWords(n.tree.cfg.Layout.LogFile(n.name), s.logged); words != "" {
		text += ": " + words
	}
	n.log.Warn("the staged process ended", "exit", text)
	n.dispose(s)
	n.candidate = nil
	n.record(func(c *children.Child) { c.Candidate = nil })
	m := s.c.Manifest
	n.update(func(c *status.Component) {
		c.Candidate = &status.Candidate{Version: m.Version, Digest: s.c.Digest(), Ended: text}
	})
	n.show()
	if s.staged {
		return stay
	}
	n.verdict(s, fmt.Errorf("%w: it %s", ErrUnfit, text))
	return n.orVanish()
}

// discard ends the candidate, if there is one, and forgets one that has ended.
func (n *node) discard(reason error) {
	s := n.candidate
	n.update(func(c *status.Component) { c.Candidate = nil })
	if s == nil {
		return
	}
	n.candidate = nil
	n.kill(s)
	n.dispose(s)
	n.record(func(c *children.Child) { c.Candidate = nil })
	n.show()
	n.verdict(s, reason)
}

// verdict tells those who staged a candidate how it went.
func (n *node) verdict(s *session, err error) {
	if s == nil {
		return
	}
	for _, v := range s.verdicts {
		v <- err
	}
	s.verdicts = nil
}

// orVanish ends a node that has nothing: its component was never cut over to and its candidate is gone.
func (n *node) orVanish() verdict {
	if !n.absent || n.candidate != nil {
		return stay
	}
	n.removed = true
	return halt
}

// showCandidate puts the candidate into the component's row.
func (n *node) showCandidate(s *session, provides []*lifecyclev1.Contract) {
	m := s.c.Manifest
	n.update(func(c *status.Component) {
		c.Candidate = &status.Candidate{
			Version: m.Version, Digest: s.c.Digest(), PID: s.process.PID, Started: s.started, Provides: provides,
		}
	})
	n.show()
}
