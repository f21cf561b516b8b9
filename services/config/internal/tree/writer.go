// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// writer changes a private version of a tree. It copies what it touches, once.
type writer struct {
	tree *Tree
	by   *token
	root *branch
	// at is the timestamp of new leaves; publisher and epoch go into them too.
	at        int64
	publisher Publisher
	epoch     uint32
}

// freeze ends the ownership of what was made so far.
func (w *writer) freeze() { w.by = &token{} }

func (w *writer) leafOf(v schema.Value) *leaf {
	return &leaf{value: v, at: w.at, by: w.publisher, epoch: w.epoch}
}

// open is the branch at a complete path, made where it is missing, with all branches above it.
func (w *writer) open(path schema.Path) *branch {
	w.root = w.root.own(w.by)
	at := w.root
	for _, step := range path {
		if step.Node.Kind() == schema.List {
			at = w.entry(at, step)
		} else {
			at = w.container(at, step.Node)
		}
	}
	return at
}

// container is a container in an own branch, own too.
func (w *writer) container(in *branch, n *schema.Node) *branch {
	old := in.branch(n)
	if old == nil {
		old = &branch{owner: w.by, at: w.at}
	}
	if b := old.own(w.by); in.branch(n) != b {
		in.set(n, b)
		return b
	}
	return old
}

// entry is an entry of a list in an own branch, own too.
func (w *writer) entry(in *branch, step schema.Step) *branch {
	wanted := probe(step)
	old, ok := find(in.list(step.Node), wanted)
	if !ok {
		old = w.newEntry(step.Node, wanted.keys)
	}
	b := old.own(w.by)
	if !ok || b != old {
		w.insert(in, step.Node, b)
	}
	return b
}

// newEntry has the mirrors of its keys already, in configuration.
func (w *writer) newEntry(n *schema.Node, keys []schema.Value) *branch {
	b := &branch{owner: w.by, at: w.at, keys: keys}
	w.mirror(n, b)
	return b
}

// mirror sets config/<key> of an own entry to its keys.
func (w *writer) mirror(n *schema.Node, b *branch) {
	if w.tree.state {
		return
	}
	for i, key := range n.Keys() {
		m := key.Mirror()
		if m == nil {
			continue
		}
		in := b
		if m.Parent() != n {
			in = w.container(b, m.Parent())
		}
		if in.leaf(m) == nil {
			in.set(m, &leaf{value: b.keys[i], at: b.at})
		}
	}
}

// insert puts an entry into the list n of an own branch.
func (w *writer) insert(in *branch, n *schema.Node, entry *branch) {
	l, _ := in.child(n).(*list)
	switch {
	case l == nil:
		l = &list{owner: w.by}
		in.set(n, l)
	case l.owner != w.by:
		l = &list{owner: w.by, root: l.root}
		in.set(n, l)
	}
	l.root = insert(l.root, entry, entry.priority(w.tree.seed), w.by)
}

// put sets one leaf. The same value again changes nothing.
func (w *writer) put(path schema.Path, v schema.Value) error {
	n := path[len(path)-1].Node
	if err := agree(path, n, v); err != nil {
		return err
	}
	if old, ok := w.lookup(path); ok && old.value.Equal(v) {
		return nil
	}
	in := w.open(path[:len(path)-1])
	if !n.IsKey() {
		in.set(n, w.leafOf(v))
	}
	return nil
}

// agree checks that a key leaf, or what mirrors it, says what the path says (gNMI 0.11 §3.4.5).
func agree(path schema.Path, n *schema.Node, v schema.Value) error {
	key := n
	if !n.IsKey() {
		key = n.Mirror()
	}
	if key == nil {
		return nil
	}
	for i := len(path) - 1; i >= 0; i-- {
		if s := path[i]; s.Node == key.Parent() && !s.Keys[key.Index()].Value.Equal(v) {
			return refuse(schema.BadValue, path, "the value %q contradicts the key %s=%s in the path", v.String(), key.Name(), s.Keys[key.Index()].Value.String())
		}
	}
	return nil
}

// lookup is the leaf at a complete path; key leaves are not found.
func (w *writer) lookup(path schema.Path) (*leaf, bool) {
	in := reach(w.root, path[:len(path)-1])
	l := in.leaf(path[len(path)-1].Node)
	return l, l != nil
}

// reach is the branch at a complete path, or nil.
func reach(at *branch, path schema.Path) *branch {
	for _, step := range path {
		if at == nil {
			return nil
		}
		if step.Node.Kind() != schema.List {
			at = at.branch(step.Node)
			continue
		}
		if step.Keys == nil {
			return nil
		}
		at, _ = find(at.list(step.Node), probe(step))
	}
	return at
}

// update merges a JSON object into the container or list entry at the path.
func (w *writer) update(path schema.Path, doc *schema.Document, enc schema.Encoding) error {
	m := merger{writer: w, enc: enc}
	n := path.Node(w.tree.model)
	b := w.open(path)
	if err := m.merge(b, n, path.String(), doc); err != nil {
		return err
	}
	w.prune(path)
	return nil
}

// replace makes the object all there is at the path.
func (w *writer) replace(path schema.Path, doc *schema.Document, enc schema.Encoding) error {
	n := path.Node(w.tree.model)
	if n.Kind() == schema.List && len(doc.Members) == 0 {
		return refuse(schema.BadValue, path, "a list entry cannot be replaced by an empty object; delete it, or give its keys")
	}
	b := w.open(path)
	old := *b
	b.kids = nil
	if n.Kind() == schema.List {
		w.mirror(n, b)
	} else if len(path) > 1 && path[len(path)-2].Node.Kind() == schema.List {
		entry := w.open(path[:len(path)-1])
		w.mirror(path[len(path)-2].Node, entry)
	}
	m := merger{writer: w, enc: enc}
	if err := m.merge(b, n, path.String(), doc); err != nil {
		return err
	}
	w.keep(b, &old)
	w.prune(path)
	return nil
}

// keep puts back what a replacement did not change, so that it is shared with the old version and keeps its timestamps.
// b is own. It reports whether nothing differs.
func (w *writer) keep(b, old *branch) (same bool) {
	b.at = old.at
	same = len(b.kids) == len(old.kids)
	for i, k := range b.kids {
		was := old.child(k.node)
		switch item := k.item.(type) {
		case *leaf:
			if l, ok := was.(*leaf); ok && l.value.Equal(item.value) {
				b.kids[i].item = l
				continue
			}
		case *branch:
			if c, ok := was.(*branch); ok && w.keep(item, c) {
				b.kids[i].item = c
				continue
			}
		case *list:
			if l, ok := was.(*list); ok && w.keepEntries(item, l) {
				b.kids[i].item = l
				continue
			}
		}
		same = false
	}
	return same
}

func (w *writer) keepEntries(l, old *list) (same bool) {
	same = true
	var again []*branch
	each(l.root, func(b *branch) bool {
		was, ok := find(old.root, b)
		if ok && w.keep(b, was) {
			again = append(again, was)
		} else {
			same = false
		}
		return true
	})
	each(old.root, func(b *branch) bool {
		_, ok := find(l.root, b)
		same = same && ok
		return same
	})
	if !same {
		for _, b := range again {
			l.root = insert(l.root, b, 0, w.by)
		}
	}
	return same
}
