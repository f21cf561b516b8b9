// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"slices"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/store"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// Ready blocks until owners may attach.
func (e *Engine) Ready(ctx context.Context) (over <-chan struct{}, err error) {
	now := e.term.Load()
	select {
	case <-now.loaded:
		return now.life.Done(), nil
	case <-e.life.Done():
		return nil, ErrNotReady
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Snapshot returns the objects on the patterns as decided by the newest revision.
func (e *Engine) Snapshot(patterns []*gnmi.Path) (int64, []*configv1.Subtree, error) {
	paths, err := e.resolve(patterns)
	if err != nil {
		return 0, nil, err
	}
	d := e.decided.Load()
	var out []*configv1.Subtree
	for _, o := range d.tree.Objects(paths) {
		out = append(out, &configv1.Subtree{Path: o.Path.GNMI(), Json: o.New})
	}
	return d.revision, out, nil
}

// Declare lets an owner take its claims while no transaction runs, and stores what is declared then. The
// granularity of the stored rows follows the declarations, so rows may have to be cut anew.
func (e *Engine) Declare(ctx context.Context, take func() (undo func(), err error)) error {
	release, err := e.turn.take(ctx, stageDeclaring)
	if err != nil {
		return err
	}
	defer release()
	before := e.bind()
	undo, err := take()
	if err != nil {
		return err
	}
	after := e.bind()
	rewrite := rewritten(
		allRows(e.Model, e.decided.Load().tree, before.patterns),
		allRows(e.Model, e.decided.Load().tree, after.patterns))
	e.turn.enter(stageStoring)
	if err := e.lost(e.Store.SaveOwners(e.life, changedOwners(before.from, after.from), rewrite)); err != nil {
		undo()
		return err
	}
	return nil
}

// changedOwners are the stored declarations to write; one without patterns goes.
func changedOwners(before, after *owners.Declarations) map[string][]*gnmi.Path {
	old, now := before.ByComponent(), after.ByComponent()
	for component := range old {
		if _, still := now[component]; !still {
			now[component] = nil
		}
	}
	for component, patterns := range now {
		if slices.EqualFunc(patterns, old[component], samePath) && len(patterns) > 0 {
			delete(now, component)
		}
	}
	return now
}

func samePath(a, b *gnmi.Path) bool { return gpath.String(a) == gpath.String(b) }

// rewritten are the rows to drop and to write, so that the rows before become the rows after.
func rewritten(before, after []store.Change) []store.Change {
	old := map[string]store.Change{}
	for _, row := range before {
		old[gpath.String(row.Path)] = row
	}
	var out []store.Change
	for _, row := range after {
		key := gpath.String(row.Path)
		if had, ok := old[key]; !ok || string(had.New) != string(row.New) {
			out = append(out, row)
		}
		delete(old, key)
	}
	for _, row := range old {
		out = append(out, store.Change{Path: row.Path})
	}
	return out
}

var _ owners.House = (*Engine)(nil)
