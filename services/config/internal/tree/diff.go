// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"slices"
	"time"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// Changes are the differences between two trees of one model. They never change.
type Changes struct {
	Old, New *Tree
	leaves   []Change
	// touched are the new list entries with something changed in them, outermost first; the root is not among them.
	touched []touched
}

type touched struct {
	path  schema.Path
	entry *branch
}

// Change is one leaf that differs. Old or New is the zero Value where the leaf is absent.
type Change struct {
	Path     schema.Path
	Old, New schema.Value
	// At is the timestamp of the new leaf; zero when it is gone.
	At time.Time
}

// Leaves are the changed leaves, keys of entries that came or went included, in schema and key order. Do not change the
// slice.
func (c *Changes) Leaves() []Change { return c.leaves }

// Empty reports that nothing differs.
func (c *Changes) Empty() bool { return len(c.leaves) == 0 }

// Diff compares two trees of one model. Its cost is the size of what differs when the trees share history. Timestamps do
// not count.
func Diff(old, new *Tree) *Changes {
	d := differ{changes: &Changes{Old: old, New: new}}
	d.branches(old.model.Root(), old.root, new.root)
	return d.changes
}

type differ struct {
	changes *Changes
	at      schema.Path
}

// branches compares two branches for one node; one of them may be nil.
func (d *differ) branches(n *schema.Node, a, b *branch) {
	if a == b {
		return
	}
	var old, new []kid
	if a != nil {
		old = a.kids
	}
	if b != nil {
		new = b.kids
	}
	for len(old) > 0 || len(new) > 0 {
		switch {
		case len(old) == 0 || (len(new) > 0 && new[0].node.Index() < old[0].node.Index()):
			d.items(new[0].node, nil, new[0].item)
			new = new[1:]
		case len(new) == 0 || old[0].node.Index() < new[0].node.Index():
			d.items(old[0].node, old[0].item, nil)
			old = old[1:]
		default:
			d.items(old[0].node, old[0].item, new[0].item)
			old, new = old[1:], new[1:]
		}
	}
}

func (d *differ) items(n *schema.Node, a, b any) {
	if a == b {
		return
	}
	switch {
	case n.IsLeaf():
		old, _ := a.(*leaf)
		new, _ := b.(*leaf)
		d.leaf(n, old, new)
	case n.Kind() == schema.List:
		old, _ := a.(*list)
		new, _ := b.(*list)
		d.lists(n, old, new)
	default:
		old, _ := a.(*branch)
		new, _ := b.(*branch)
		d.at = append(d.at, schema.Step{Node: n})
		d.branches(n, old, new)
		d.at = d.at[:len(d.at)-1]
	}
}

func (d *differ) leaf(n *schema.Node, a, b *leaf) {
	c := Change{}
	if a != nil {
		c.Old = a.value
	}
	if b != nil {
		c.New, c.At = b.value, time.Unix(0, b.at)
	}
	d.emit(n, c)
}

func (d *differ) emit(n *schema.Node, c Change) {
	if c.Old.Equal(c.New) {
		return
	}
	c.Path = append(slices.Clone(d.at), schema.Step{Node: n})
	d.changes.leaves = append(d.changes.leaves, c)
}

func (d *differ) lists(n *schema.Node, a, b *list) {
	var old, new *node[*branch]
	if a != nil {
		old = a.root
	}
	if b != nil {
		new = b.root
	}
	pair(old, new, func(a, b *branch) {
		entry := b
		if b == nil {
			entry = a
		}
		d.at = append(d.at, entry.step(n))
		d.keys(n, a, b)
		if b != nil {
			d.changes.touched = append(d.changes.touched, touched{path: slices.Clone(d.at), entry: b})
		}
		d.branches(n, a, b)
		d.at = d.at[:len(d.at)-1]
	})
}

// keys emits the key leaves of an entry that came or went.
func (d *differ) keys(n *schema.Node, a, b *branch) {
	for i, key := range n.Keys() {
		c := Change{}
		if a != nil {
			c.Old = a.keys[i]
		}
		if b != nil {
			c.New, c.At = b.keys[i], time.Unix(0, b.at)
		}
		d.emit(key, c)
	}
}
