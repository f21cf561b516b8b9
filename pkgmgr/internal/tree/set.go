// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

// view is what others may know of a node's versions.
type view struct {
	// current runs, or is to; absent when only a candidate is there.
	current generation.Component
	absent  bool
	// beside are the candidate and the predecessor.
	beside []generation.Component
}

// load reads the tree of one component, with its sockets where the operator wants them.
func (t *Tree) load(tree, name string) (generation.Component, error) {
	c, err := generation.LoadTree(tree, name)
	if err != nil {
		return c, err
	}
	return c, t.cfg.Place(c)
}

// node returns a component's node, nil when there is none.
func (t *Tree) node(name string) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byName[name]
}

func (t *Tree) known(name string) (*node, error) {
	if n := t.node(name); n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("%q: %w", name, ErrUnknown)
}

// members is the running set; the tree's lock is held.
func (t *Tree) members() []generation.Component {
	var out []generation.Component
	for _, n := range t.nodes {
		if v := t.views[n]; !v.absent {
			out = append(out, v.current)
		}
	}
	return out
}

// admit checks that a version can join the running set and returns its node, which is new when the component is.
func (t *Tree) admit(c generation.Component) (*node, generation.Component, error) {
	uid, err := t.cfg.Users.ID(c.Name())
	if err != nil {
		return nil, c, err
	}
	if err := t.cfg.Reach(uid, c); err != nil {
		return nil, c, fmt.Errorf("%w: %w", ErrBadTree, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c, warnings, err := generation.Fit(c, t.members(), t.cfg.Self)
	if err != nil {
		return nil, c, fmt.Errorf("%w: %w", ErrBadTree, err)
	}
	if len(warnings) > 0 {
		t.cfg.Log.Warn("staged beside components that it does not fit", "child", c.Name(), "faults", strings.Join(warnings, "; "))
	}
	if n, ok := t.byName[c.Name()]; ok {
		return n, c, nil
	}
	if t.stopping || t.ctx == nil || t.ctx.Err() != nil {
		return nil, c, ErrStopped
	}
	n := newNode(t, c, uid)
	n.absent = true
	t.add(n)
	t.table.Add(n.firstStatus())
	t.running.Go(func() { n.run(t.ctx) })
	return n, c, nil
}

// add is called with the tree's lock held, or before anyone else knows the tree.
func (t *Tree) add(n *node) {
	t.nodes = append(t.nodes, n)
	t.byName[n.name] = n
	t.views[n] = view{current: n.c, absent: n.absent}
}

// show lets others see the node's versions. It is called by the node's goroutine.
func (n *node) show() {
	v := view{current: n.current(), absent: n.absent}
	for _, s := range []*session{n.candidate, n.draining} {
		if s != nil {
			v.beside = append(v.beside, s.c)
		}
	}
	t := n.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[n.name] == n {
		t.views[n] = v
	}
	t.publish()
}

// publish writes the roster, when it has changed; the tree's lock is held. What runs beside the current version may call
// what it requires, and provides nothing.
func (t *Tree) publish() {
	r := roster.Roster{Components: []roster.Component{t.cfg.Own}}
	for _, n := range t.nodes {
		v := t.views[n]
		m := v.current.Manifest
		c := roster.Component{Name: m.Name, Version: m.Version, UID: n.uid, Endpoint: t.cfg.Layout.Socket(v.current.API().Unix)}
		if !v.absent {
			c.Provides, c.Requires = m.Provides, append([]manifest.Requirement(nil), m.Requires...)
		}
		for _, b := range v.beside {
			c.Requires = append(c.Requires, added(c.Requires, b.Manifest.Requires)...)
		}
		r.Components = append(r.Components, c)
	}
	if reflect.DeepEqual(r, t.published) {
		return
	}
	if err := roster.Write(t.cfg.Layout.Roster(), r); err != nil {
		t.cfg.Log.Error("the roster is not what runs", "error", err)
		return
	}
	t.published = r
}

// added are those requirements whose contract is not among the ones there are.
func added(have, more []manifest.Requirement) []manifest.Requirement {
	var out []manifest.Requirement
	for _, q := range more {
		found := false
		for _, h := range have {
			found = found || h.Contract == q.Contract
		}
		if !found {
			out = append(out, q)
		}
	}
	return out
}

// Remove drains a component and takes it out of the running set.
func (t *Tree) Remove(ctx context.Context, name string) error {
	n, err := t.known(name)
	if err != nil {
		return err
	}
	t.mu.Lock()
	dependants := generation.Dependants(name, t.members(), t.cfg.Self)
	t.mu.Unlock()
	if len(dependants) > 0 {
		return fmt.Errorf("%w: %s", ErrRequired, strings.Join(dependants, ", "))
	}
	err = n.do(ctx, func(_ context.Context, done chan<- error) verdict {
		n.removed = true
		if n.running != nil {
			n.running.ending = status.Operator
		}
		n.log.Info("removing")
		done <- nil
		return halt
	})
	if err != nil {
		return err
	}
	select {
	case <-n.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forget takes a component that has ended off the device. It is called by the node's goroutine, last.
func (t *Tree) forget(n *node) {
	t.cfg.Sockets.Retain(n.name, nil)
	t.removeGroups(n.name)
	if err := t.erase(n.name); err != nil {
		n.log.Error("a removed component stays in the record", "error", err)
	}
	t.table.Remove(n.name)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, other := range t.nodes {
		if other == n {
			t.nodes = append(t.nodes[:i:i], t.nodes[i+1:]...)
			break
		}
	}
	delete(t.byName, n.name)
	delete(t.views, n)
	t.publish()
}

// erase removes a component's record. While the generation has the component, the record says that it is not to be started.
func (t *Tree) erase(name string) error {
	tree := generation.TreeOf(t.cfg.Directory, name)
	if tree == "" {
		return t.cfg.Book.Forget(name)
	}
	_, err := t.cfg.Book.Change(name, func(c *children.Child) {
		*c = children.Child{
			Process: children.Process{Token: c.Token}, Choice: &children.Choice{Instead: tree},
			Crashes: c.Crashes, Restarts: c.Restarts,
		}
	})
	return err
}

// removeGroups removes the control groups of a component that has ended, and what is left in them.
func (t *Tree) removeGroups(name string) {
	for _, s := range slots() {
		g, err := t.cfg.Groups.Group(s.group(name))
		if err == nil {
			err = errors.Join(g.Kill(killLimit), g.Remove())
		}
		if err != nil {
			t.cfg.Log.Warn("control group of a removed component stays", "child", name, "error", err)
		}
	}
}

// Choices are the trees that stand in the place of the generation's, by the record.
func Choices(book *children.Book) map[string]generation.Choice {
	out := map[string]generation.Choice{}
	for name, c := range book.All() {
		if c.Choice != nil {
			out[name] = generation.Choice{Tree: c.Choice.Tree, Instead: c.Choice.Instead}
		}
	}
	return out
}
