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
	// minPatience is how long owners have at least to come back to a pending change.
	minPatience = time.Second
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
	close(e.loaded)
	if contents.Pending != nil {
		if err := e.finish(ctx, contents); err != nil {
			return err
		}
	}
	e.Publish(e.decided.Load().tree)
	e.Log.Info("configuration loaded", "revision", e.Revision(), "objects", len(contents.Objects))
	return nil
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

// finish decides about a change whose client never heard of it: when all its owners have it in effect in
// time it stays, otherwise it is taken back.
func (e *Engine) finish(ctx context.Context, contents store.Contents) error {
	pending := contents.Pending
	e.setProblem(fmt.Errorf("%w: %w: revision %d", ErrNotReady, ErrAwaitsOwners, pending.Number))
	left := min(max(e.Patience-time.Since(pending.Time), minPatience), e.Patience)
	e.Log.Info("finishing a pending change", "revision", pending.Number, "owners", pending.Owners, "within", left.String())
	groups := e.pendingGroups(pending)
	wait, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	err := each(groups, func(g *group) error {
		return e.ensure(wait, g, e.transactions.Add(1), pending.Number, g.changes)
	})
	switch {
	case err == nil:
		return e.clear()
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return e.takeBack(contents, groups, err)
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
			if b.declarations[o.Pattern].Pattern == g.declaration.Pattern {
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
