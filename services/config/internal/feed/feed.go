// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package feed holds what the device says now, the accepted configuration and the gathered state, and tells
// watchers what changes.
//
// Readers take a View, which is immutable, and hold no lock. Writers are serialised; what they change is
// handed to each watcher's queue, which keeps the newest value of each leaf: a watcher that does not read
// costs memory bounded by its leaves and a limit, never a growing queue, and delays nobody.
package feed

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
)

// Feed is safe for concurrent use.
type Feed struct {
	model *schema.Model
	view  atomic.Pointer[trees]

	// mu orders changes and guards the watchers.
	mu       sync.Mutex
	watchers *matcher
	event    uint64
}

// trees is one moment.
type trees struct{ config, state *tree.Tree }

func (t *trees) view() tree.View { return tree.View{t.config, t.state} }

// New returns an empty feed.
func New(model *schema.Model) *Feed {
	f := &Feed{model: model, watchers: newMatcher()}
	f.view.Store(&trees{config: tree.NewConfig(model), state: tree.NewState(model)})
	return f
}

// Model is the schema of everything in the feed.
func (f *Feed) Model() *schema.Model { return f.model }

// View is the present moment.
func (f *Feed) View() tree.View { return f.view.Load().view() }

// PublishConfig makes a configuration the accepted one.
func (f *Feed) PublishConfig(config *tree.Tree) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.view.Load()
	now := &trees{config: config, state: old.state}
	changes := tree.Diff(old.config, config)
	f.view.Store(now)
	f.tell(old.view(), now.view(), changes)
}

// EditState applies a batch of telemetry as one change.
func (f *Feed) EditState(edit func(*tree.StateEdit)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.view.Load()
	e := old.state.EditState()
	edit(e)
	state, changes := e.Commit()
	now := &trees{config: old.config, state: state}
	f.view.Store(now)
	f.tell(old.view(), now.view(), changes)
}

// tell hands changes to the watchers.
func (f *Feed) tell(old, now tree.View, changes *tree.Changes) {
	if f.watchers.empty() || changes.Empty() {
		return
	}
	for _, c := range changes.Leaves() {
		at := c.At
		if at.IsZero() {
			at = time.Now()
		}
		node := c.Path.Node(f.model)
		switch {
		case !c.New.IsNone():
			f.dispatch(Event{Path: c.Path, Value: c.New, At: at})
		default:
			// Gone from this tree, but perhaps a default is in use now, or the other tree has the key.
			leaf, there := now.Lookup(c.Path)
			if !there {
				leaf.Value = schema.Value{}
			}
			f.dispatch(Event{Path: c.Path, Value: leaf.Value, At: at})
		}
		if node.IsKey() && node == node.Parent().Keys()[0] && node.Parent().HasDefaults() {
			f.tellDefaults(old, now, c.Path[:len(c.Path)-1], at)
		}
	}
	f.watchers.wake()
}

// tellDefaults tells of the defaults that came into use, or went out of it, with a list entry.
func (f *Feed) tellDefaults(old, now tree.View, entry schema.Path, at time.Time) {
	gone := map[string]schema.Path{}
	f.eachDefault(old, entry, func(text string, path schema.Path, _ schema.Value) { gone[text] = path })
	f.eachDefault(now, entry, func(text string, path schema.Path, value schema.Value) {
		if _, had := gone[text]; !had {
			f.dispatch(Event{Path: path, Value: value, At: at})
		}
		delete(gone, text)
	})
	for _, path := range gone {
		if _, there := now.Lookup(path); !there {
			f.dispatch(Event{Path: path, At: at})
		}
	}
}

func (f *Feed) eachDefault(view tree.View, entry schema.Path, fn func(string, schema.Path, schema.Value)) {
	view.Walk(entry, tree.OnlyConfig, func(l *tree.Leaf) bool {
		if l.Default {
			if path, err := f.model.Resolve(l.GNMI()); err == nil {
				fn(path.String(), path, l.Value)
			}
		}
		return true
	})
}

func (f *Feed) dispatch(e Event) {
	f.event++
	f.watchers.each(e.Path, func(w *Watcher) {
		if w.seen == f.event {
			return // the leaf lies in two of its subscriptions
		}
		w.seen = f.event
		if e.key == "" {
			e.key = e.Path.String()
		}
		w.add(e)
	})
}

// Watch returns a watcher of everything at and below the paths, and the moment that its first event follows.
// Close it.
func (f *Feed) Watch(paths []schema.Path) (*Watcher, tree.View) {
	w := newWatcher(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers.add(w, paths)
	return w, f.View()
}
