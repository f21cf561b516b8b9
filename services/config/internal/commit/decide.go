// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/store"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

const (
	// storePause is the pause between tries to write what must be written.
	storePause = 100 * time.Millisecond
	// clearAfter is how long the mark of an applied revision stands when no commit follows that replaces it.
	clearAfter = 20 * time.Millisecond
)

// decide writes the revision and sees it into effect, or takes it back. It runs to its end whatever the
// client does.
func (e *Engine) decide(t *transaction) error {
	call(e.Steps.Prepared)
	if err := e.persist(t); err != nil {
		t.abort()
		e.Metrics.results.WithLabelValues("failed").Inc()
		return err
	}
	call(e.Steps.Decided)
	if err := e.apply(t); err != nil {
		return e.reverse(t, err)
	}
	call(e.Steps.Applied)
	e.inEffect = t.revision
	e.Publish(t.next)
	e.Metrics.results.WithLabelValues("committed").Inc()
	e.idle.Reset(clearAfter)
	return nil
}

// persist is the decision.
func (e *Engine) persist(t *transaction) error {
	defer e.Metrics.time("persist")()
	e.turn.enter(stageStoring)
	err := e.Store.Commit(e.life, store.Revision{
		Number: t.revision, Time: t.at, User: t.user, Owners: t.components(), Changes: t.rows,
	})
	if err != nil {
		return e.lost(err)
	}
	e.settle(&decision{revision: t.revision, tree: t.next})
	return nil
}

// settle takes a decision that is on disk.
func (e *Engine) settle(d *decision) {
	before := e.decided.Swap(d)
	e.Metrics.revision.Set(float64(d.revision))
	if before != nil {
		e.audience.tell(step{revision: d.revision, from: before.tree, now: d.tree})
	}
}

// lost ends the engine when the store no longer follows it.
func (e *Engine) lost(err error) error {
	if errors.Is(err, store.ErrLost) {
		e.fail(err)
	}
	return err
}

// components are the owners that take part, by name.
func (t *transaction) components() []string {
	var names []string
	for _, g := range t.groups {
		names = append(names, g.declaration.Component)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// apply waits until every owner has the decided change in effect.
func (e *Engine) apply(t *transaction) error {
	defer e.Metrics.time("apply")()
	e.turn.enter(stageApplying)
	ctx, cancel := context.WithTimeout(e.life, e.Patience)
	defer cancel()
	return each(t.groups, func(g *group) error {
		return e.explain(g, e.ensure(ctx, g, t.id, t.revision, g.changes))
	})
}

// ensure sees one owner's part of a decided revision into effect, across streams that break: what the
// owner restored with a snapshot as new as the revision counts, what it did not is applied again.
func (e *Engine) ensure(ctx context.Context, g *group, id uint64, revision int64, changes []*configv1.Subtree) error {
	for {
		changed := e.Registry.Changed()
		session, err := e.Registry.Session(g.declaration)
		switch {
		case err != nil:
		case session == g.prepared:
			err = session.Commit(ctx, id, revision)
		case session.Revision() >= revision:
			err = failureAmong(session.Failures(), changes)
		default:
			err = session.Apply(ctx, id, revision, changes)
		}
		if !errors.Is(err, owners.ErrAway) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		}
	}
}

// failureAmong returns the first failure that concerns one of the objects.
func failureAmong(failures []*owners.Refusal, changes []*configv1.Subtree) error {
	for _, f := range failures {
		for _, c := range changes {
			if gpath.MatchPrefix(c.GetPath(), f.Path) || gpath.MatchPrefix(f.Path, c.GetPath()) {
				return f
			}
		}
	}
	return nil
}

// reverse writes the inverse as a new revision and has the owners apply it.
func (e *Engine) reverse(t *transaction, cause error) error {
	defer e.Metrics.time("reverse")()
	e.turn.enter(stageStoring)
	e.Log.Warn("taking a change back", "revision", t.revision, "user", t.user, "cause", cause)
	inverse := make([]store.Change, len(t.rows))
	for i, row := range t.rows {
		inverse[i] = store.Change{Path: row.Path, Old: row.New, New: row.Old}
	}
	if err := e.persistReversal(t.revision, inverse, t.base.tree); err != nil {
		return err
	}
	e.turn.enter(stageReversing)
	ctx, cancel := context.WithTimeout(e.life, e.Patience)
	defer cancel()
	each(t.groups, func(g *group) error {
		back := &group{declaration: g.declaration, changes: g.inverse}
		err := e.ensure(ctx, back, e.transactions.Add(1), t.revision+1, g.inverse)
		e.judge(back, err)
		return err
	})
	e.Metrics.results.WithLabelValues("reversed").Inc()
	return &Reversed{Revision: t.revision, Cause: cause}
}

// persistReversal writes the inverse of a revision; it does not give up while the engine lives. The
// inverse needs no pending mark: it is the last word, and an owner that is away gets it by snapshot.
func (e *Engine) persistReversal(reversed int64, inverse []store.Change, former *tree.Tree) error {
	revision := store.Revision{Number: reversed + 1, Time: time.Now(), Reverses: reversed, Changes: inverse}
	for {
		err := e.lost(e.Store.Commit(e.life, revision))
		if err == nil {
			e.settle(&decision{revision: revision.Number, tree: former})
			return nil
		}
		if errors.Is(err, store.ErrLost) {
			return err
		}
		e.Log.Error("a reversal is not written yet", "revision", reversed, "error", err)
		if !pause(e.life) {
			return err
		}
	}
}

// judge says what became of a reversal at one owner. An owner that is away restores the former state when
// it comes back; one that is silent is made to attach again and restore it; one that says it cannot is an
// alarm.
func (e *Engine) judge(g *group, err error) {
	var refusal *owners.Refusal
	switch {
	case err == nil, errors.Is(err, owners.ErrAway):
	case errors.As(err, &refusal):
		e.Metrics.alarms.WithLabelValues(g.declaration.Component).Inc()
		e.Log.Error("ALARM: an owner cannot take a change back; its state differs from the configuration",
			"owner", g.declaration.Component, "path", pathText(refusal.Path), "reason", refusal.Reason)
	default:
		if session, away := e.Registry.Session(g.declaration); away == nil {
			session.End("it did not apply a reversal in time")
		}
	}
}

// clear takes the mark of the newest revision away if it is in effect everywhere. A commit that follows does
// that as well, so this is for when none does; the caller has the turn. It does not give up before ctx ends.
func (e *Engine) clear(ctx context.Context) error {
	if e.inEffect != e.Store.Revision() {
		return nil
	}
	defer e.Metrics.time("clear")()
	for {
		err := e.Store.ClearPending(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case errors.Is(err, store.ErrLost):
			return e.lost(err)
		}
		e.Log.Warn("the pending mark still stands", "error", err)
		if !pause(ctx) {
			return err
		}
	}
}

// pause waits before another try; false when ctx ends.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(storePause):
		return true
	case <-ctx.Done():
		return false
	}
}

func pathText(p *gnmi.Path) string { return gpath.String(p) }
