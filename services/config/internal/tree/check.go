// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// check validates what the changes can have broken, and keeps the index of references of the new tree. It looks only at
// changed leaves, at those that refer to them, and at entries with a change inside.
func check(c *Changes, t *Tree) error {
	recount(c, t)
	for _, leaf := range c.leaves {
		if err := checkLeaf(t, leaf); err != nil {
			return err
		}
	}
	return demand(c, t)
}

// recount brings the index up to date.
func recount(c *Changes, t *Tree) {
	by := &token{}
	for _, leaf := range c.leaves {
		n := leaf.Path[len(leaf.Path)-1].Node
		if !tracked(n) {
			continue
		}
		t.tally(n, leaf.Old, -1, by)
		t.tally(n, leaf.New, +1, by)
	}
}

// tracked reports whether a leaf's reference must hold. References of keys to config/<key> hold by construction.
func tracked(n *schema.Node) bool {
	r := n.Reference()
	return r != nil && r.Required() && n.Config() && r.Target().Config() && !(n.IsKey() && n.Mirror() == r.Target())
}

func (t *Tree) tally(n *schema.Node, v schema.Value, by int, owner *token) {
	for _, v := range single(v) {
		probe := &count{referrer: n, value: v}
		if old, ok := find(t.counts, probe); ok {
			probe.n = old.n
		}
		if probe.n += by; probe.n == 0 {
			t.counts = remove(t.counts, probe, owner)
		} else {
			t.counts = insert(t.counts, probe, probe.priority(t.seed), owner)
		}
	}
}

// single are the values of a leaf or leaf-list, none when it is absent.
func single(v schema.Value) []schema.Value {
	switch v.Kind() {
	case schema.None:
		return nil
	case schema.Many:
		return v.Items()
	}
	return []schema.Value{v}
}

func checkLeaf(t *Tree, c Change) error {
	n := c.Path[len(c.Path)-1].Node
	if tracked(n) {
		if err := t.resolves(c.Path, c.New); err != nil {
			return err
		}
	}
	for _, dependent := range n.Dependents() {
		path := c.Path.To(dependent)
		if l, ok := (View{t}).Lookup(path); ok && tracked(dependent) {
			if err := t.resolves(path, l.Value); err != nil {
				return err
			}
		}
	}
	for _, referrer := range n.Referrers() {
		for _, gone := range single(c.Old) {
			if err := t.stillResolves(referrer, gone); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolves checks that the target of the reference at path exists for each of its values.
func (t *Tree) resolves(path schema.Path, v schema.Value) error {
	r := path[len(path)-1].Node.Reference()
	for _, v := range single(v) {
		pattern, ok := r.Pattern(path, v, func(p schema.Path) (schema.Value, bool) {
			l, found := (View{t}).Lookup(p)
			return l.Value, found
		})
		if !ok || !t.holds(pattern, v) {
			return refuse(schema.BadValue, path, "it refers to %q, which is not configured (no %s with this value)", v.String(), r.Target().Path())
		}
	}
	return nil
}

// holds reports whether some leaf that the pattern matches has the value.
func (t *Tree) holds(pattern schema.Path, v schema.Value) bool {
	return !View{t}.Walk(pattern, All, func(l *Leaf) bool {
		for _, w := range single(l.Value) {
			if w.Equal(v) {
				return false
			}
		}
		return true
	})
}

// stillResolves checks those that refer to a value that a target just lost.
func (t *Tree) stillResolves(referrer *schema.Node, gone schema.Value) error {
	if _, used := find(t.counts, &count{referrer: referrer, value: gone}); !used {
		return nil
	}
	var err error
	View{t}.Walk(schema.Path{}.To(referrer), All, func(l *Leaf) bool {
		path, v := l.Path(), l.Value
		for _, w := range single(v) {
			if w.Equal(gone) {
				err = t.resolves(path, v)
			}
		}
		return err == nil
	})
	return err
}

// demand checks mandatory leaves (RFC 7950 §7.6.5) in the entries with changes, and at the root.
func demand(c *Changes, t *Tree) error {
	if err := complete(nil, t.model.Root(), t.root); err != nil {
		return err
	}
	for _, e := range c.touched {
		if err := complete(e.path, e.path[len(e.path)-1].Node, e.entry); err != nil {
			return err
		}
	}
	return nil
}

// complete looks through the containers of a branch, not into lists.
func complete(path schema.Path, n *schema.Node, b *branch) error {
	if !n.Demands() {
		return nil
	}
	for _, child := range n.Children() {
		step := schema.Step{Node: child}
		switch {
		case child.Mandatory() && child.Config() && b.leaf(child) == nil:
			return refuse(schema.BadValue, append(path[:len(path):len(path)], step), "it is mandatory and missing")
		case child.Kind() == schema.Container && child.Demands() && (b.branch(child) != nil || !child.Presence()):
			if err := complete(append(path[:len(path):len(path)], step), child, b.branch(child)); err != nil {
				return err
			}
		}
	}
	return nil
}
