// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"fmt"
	"time"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/config/internal/store"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
)

const (
	// loadLimit bounds one try to load.
	loadLimit = 10 * time.Second
	// comeback is how long an owner may take to attach again before a pending change does not wait for it.
	comeback = 500 * time.Millisecond
)

// start loads the configuration and finishes a pending mark.
func (e *Engine) start(ctx context.Context) error {
	contents, err := e.load(ctx)
	if err != nil {
		return err
	}
	current, err := build(e.Model, contents.Objects)
	if err != nil {
		return err
	}
	e.Registry.Remember(contents.Owners)
	e.settle(&decision{revision: contents.Revision, tree: current})
	close(e.term.Load().loaded)
	if contents.Pending != nil {
		if err := e.finish(ctx, contents); err != nil {
			return err
		}
	} else if err := e.respell(contents.Objects); err != nil {
		return err
	}
	e.Publish(e.decided.Load().tree)
	e.Log.Info("configuration loaded", "revision", e.Revision(), "objects", len(contents.Objects))
	return nil
}

// respell writes anew the rows whose paths the model writes in another way than the process that stored them:
// a row must be found under the path that is asked for.
func (e *Engine) respell(stored []store.Object) error {
	stale := map[string]bool{}
	var rewrite []store.Change
	for _, o := range stored {
		path, err := e.Model.Resolve(o.Path)
		if err != nil || path.String() == pathText(o.Path) {
			continue
		}
		stale[path.String()] = true
		rewrite = append(rewrite, store.Change{Path: o.Path})
	}
	if len(rewrite) == 0 {
		return nil
	}
	for _, row := range allRows(e.Model, e.decided.Load().tree, e.bind().patterns) {
		if stale[pathText(row.Path)] {
			rewrite = append(rewrite, row)
		}
	}
	e.Log.Info("rewriting rows in the model's spelling", "rows", len(stale))
	return e.lost(e.Store.SaveOwners(e.life, nil, rewrite))
}

// load reads the store, again until it answers.
func (e *Engine) load(ctx context.Context) (store.Contents, error) {
	for {
		try, cancel := context.WithTimeout(ctx, loadLimit)
		contents, err := e.Store.Load(try)
		cancel()
		if err == nil || ctx.Err() != nil {
			return contents, err
		}
		e.setProblem(fmt.Errorf("%w: the store is not loaded: %w", ErrNotReady, err))
		e.Log.Warn("the store is not loaded, trying again", "error", err)
		select {
		case <-time.After(storePause):
		case <-ctx.Done():
			return contents, ctx.Err()
		}
	}
}

// finish decides about a change that its client may not have heard of. It stays, unless an owner that
// attaches again cannot have it in effect: then it is taken back. An owner that is away decides nothing; the
// client may have been told OK, and the owner's snapshot will hold the change.
func (e *Engine) finish(ctx context.Context, contents store.Contents) error {
	pending := contents.Pending
	e.setProblem(fmt.Errorf("%w: revision %d waits for its owners", ErrNotReady, pending.Number))
	e.Log.Info("finishing a pending change", "revision", pending.Number, "owners", pending.Owners)
	groups := e.pendingGroups(pending)
	err := each(groups, func(g *group) error { return e.confirm(ctx, g) })
	switch {
	case err == nil:
		e.inEffect = pending.Number
		return e.clear(ctx)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return e.takeBack(contents, groups, err)
}

// confirm waits for an owner to restore a snapshot that holds the pending change, and returns its refusal.
func (e *Engine) confirm(ctx context.Context, g *group) error {
	absent, cancel := context.WithTimeout(ctx, min(comeback, e.Patience))
	defer cancel()
	restoring, cancel := context.WithTimeout(ctx, e.Patience)
	defer cancel()
	for {
		changed := e.Registry.Changed()
		if session, err := e.Registry.Session(g.declaration); err == nil {
			return failureAmong(session.Failures(), g.changes)
		}
		wait := absent
		if e.Registry.Attaching(g.declaration) {
			wait = restoring
		}
		select {
		case <-changed:
		case <-wait.Done():
			e.Log.Info("an owner of the pending change is away", "owner", g.declaration.Component)
			return ctx.Err()
		}
	}
}

// pendingGroups are the owners of a pending change, by declaration. Their sessions begin with a snapshot
// that holds the change, so what they are asked for is only where it lies.
func (e *Engine) pendingGroups(pending *store.Revision) []*group {
	b := e.bind()
	byDeclaration := map[int]*group{}
	var groups []*group
	for _, c := range pending.Changes {
		path, err := e.Model.Resolve(c.Path)
		if err != nil {
			continue
		}
		for i, pattern := range b.patterns {
			if len(pattern) != len(path) || !pattern.Covers(path) {
				continue
			}
			g := byDeclaration[i]
			if g == nil {
				g = &group{declaration: b.declarations[i]}
				byDeclaration[i] = g
				groups = append(groups, g)
			}
			g.changes = append(g.changes, &configv1.Subtree{Path: c.Path})
		}
	}
	return groups
}

// takeBack reverses a pending change after a restart.
func (e *Engine) takeBack(contents store.Contents, groups []*group, cause error) error {
	e.Log.Warn("taking a pending change back", "revision", contents.Revision, "cause", cause)
	current := map[string]store.Object{}
	for _, o := range contents.Objects {
		current[pathText(o.Path)] = o
	}
	var inverse []store.Change
	for _, c := range contents.Pending.Changes {
		key := pathText(c.Path)
		inverse = append(inverse, store.Change{Path: c.Path, Old: current[key].JSON, New: c.New})
		delete(current, key)
		if len(c.New) > 0 {
			current[key] = store.Object{Path: c.Path, JSON: c.New}
		}
	}
	former, err := build(e.Model, values(current))
	if err != nil {
		return err
	}
	now := e.decided.Load().tree
	if err := e.persistReversal(contents.Revision, inverse, former); err != nil {
		return err
	}
	e.applyInverse(groups, tree.Diff(now, former), contents.Revision+1)
	return nil
}

// applyInverse tells the owners that are here; the others restore the former state when they attach.
func (e *Engine) applyInverse(groups []*group, changes *tree.Changes, revision int64) {
	b := e.bind()
	objects, _ := changes.Objects(b.patterns)
	ctx, cancel := context.WithTimeout(e.life, e.Patience)
	defer cancel()
	each(groups, func(g *group) error {
		var subtrees []*configv1.Subtree
		for _, o := range objects {
			if samePath(b.declarations[o.Pattern].Pattern, g.declaration.Pattern) {
				subtrees = append(subtrees, &configv1.Subtree{Path: o.Path.GNMI(), Json: o.New})
			}
		}
		if _, away := e.Registry.Session(g.declaration); away != nil || len(subtrees) == 0 {
			return nil
		}
		err := e.ensure(ctx, &group{declaration: g.declaration}, e.transactions.Add(1), revision, subtrees)
		e.judge(g, err)
		return err
	})
}

func values(m map[string]store.Object) []store.Object {
	out := make([]store.Object, 0, len(m))
	for _, o := range m {
		out = append(out, o)
	}
	return out
}
