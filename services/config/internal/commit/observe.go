// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"sync"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
)

// maxUnread is how many decisions may wait for one observer. They share most of their trees.
const maxUnread = 256

// audience are those who hear of each decision. It never waits for them.
type audience struct {
	mu        sync.Mutex
	listeners map[*listener]struct{}
}

// listener is one of them; it reads from one goroutine.
type listener struct {
	engine   *Engine
	audience *audience
	unread   chan step
	// slow is closed when a decision found no room.
	slow chan struct{}
}

// step leads from one decided configuration to the next.
type step struct {
	revision  int64
	from, now *tree.Tree
}

// tell hands a step to all; who has no room for it hears nothing more.
func (a *audience) tell(s step) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for l := range a.listeners {
		select {
		case l.unread <- s:
		default:
			close(l.slow)
			delete(a.listeners, l)
		}
	}
}

// Observe implements owners.House.
func (e *Engine) Observe() owners.Decisions {
	l := &listener{engine: e, audience: &e.audience, unread: make(chan step, maxUnread), slow: make(chan struct{})}
	e.audience.mu.Lock()
	defer e.audience.mu.Unlock()
	e.audience.listeners[l] = struct{}{}
	return l
}

// Close implements owners.Decisions.
func (l *listener) Close() {
	l.audience.mu.Lock()
	defer l.audience.mu.Unlock()
	delete(l.audience.listeners, l)
}

// Next implements owners.Decisions.
func (l *listener) Next(ctx context.Context, patterns []*gnmi.Path) (int64, []*configv1.Subtree, error) {
	select {
	case s := <-l.unread:
		changes, err := l.engine.changesOn(patterns, s)
		return s.revision, changes, err
	case <-l.slow:
		return 0, nil, owners.ErrSlow
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
}

// changesOn are the objects on the patterns that differ.
func (e *Engine) changesOn(patterns []*gnmi.Path, s step) ([]*configv1.Subtree, error) {
	paths, err := e.resolve(patterns)
	if err != nil {
		return nil, err
	}
	objects, _ := tree.Diff(s.from, s.now).Objects(paths)
	out := make([]*configv1.Subtree, 0, len(objects))
	for _, o := range objects {
		out = append(out, &configv1.Subtree{Path: o.Path.GNMI(), Json: o.New})
	}
	return out, nil
}

func (e *Engine) resolve(patterns []*gnmi.Path) ([]schema.Path, error) {
	paths := make([]schema.Path, 0, len(patterns))
	for _, p := range patterns {
		path, err := e.Model.Resolve(p)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
