// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"slices"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// remove takes away what is at and below every instance of the path. only limits it to leaves it accepts; nil means all.
// Containers that become empty go too, and in state entries that do.
func (w *writer) remove(path schema.Path, only func(*leaf) bool) {
	r := remover{writer: w, only: only}
	root, _ := r.strip(w.root, w.tree.model.Root(), path)
	if root == nil {
		root = &branch{owner: w.by}
	}
	w.root = root
}

type remover struct {
	*writer
	only func(*leaf) bool
}

// strip returns the branch without what the path names below it: itself when nothing was there, nil when nothing is left.
func (r *remover) strip(b *branch, n *schema.Node, path schema.Path) (left *branch, changed bool) {
	if len(path) == 0 {
		return r.clear(b, n)
	}
	child := path[0].Node
	switch item := b.child(child).(type) {
	case *leaf:
		if r.only == nil || r.only(item) {
			return r.without(b, n, child, nil), true
		}
	case *branch:
		if c, changed := r.strip(item, child, path[1:]); changed {
			return r.without(b, n, child, c), true
		}
	case *list:
		if l, changed := r.entries(item, path); changed {
			if l.root == nil {
				return r.without(b, n, child, nil), true
			}
			b = b.own(r.by)
			b.set(child, l)
			return b, true
		}
	}
	return b, false
}

// entries strips the entries of a list that match the first step.
func (r *remover) entries(l *list, path schema.Path) (*list, bool) {
	var hit []*branch
	if path[0].Complete() {
		if b, ok := find(l.root, probe(path[0])); ok {
			hit = append(hit, b)
		}
	} else {
		each(l.root, func(b *branch) bool {
			if b.matches(path[0]) {
				hit = append(hit, b)
			}
			return true
		})
	}
	changed := false
	for _, b := range hit {
		left, did := r.entry(b, path)
		if !did {
			continue
		}
		if l.owner != r.by {
			l = &list{owner: r.by, root: l.root}
		}
		if changed = true; left == nil {
			l.root = remove(l.root, b, r.by)
		} else {
			l.root = insert(l.root, left, left.priority(r.tree.seed), r.by)
		}
	}
	return l, changed
}

// entry strips one entry. A whole entry of configuration is just dropped.
func (r *remover) entry(b *branch, path schema.Path) (left *branch, changed bool) {
	if len(path) == 1 && r.only == nil {
		return nil, true
	}
	left, changed = r.strip(b, path[0].Node, path[1:])
	if changed && left != nil && !r.tree.state {
		left = left.own(r.by)
		r.mirror(path[0].Node, left)
	}
	return left, changed
}

// without sets or drops a container or leaf of a branch, and says what is left of it: nil when nothing.
func (r *remover) without(b *branch, n, child *schema.Node, c *branch) *branch {
	b = b.own(r.by)
	if c == nil {
		b.unset(child)
	} else {
		b.set(child, c)
	}
	if len(b.kids) == 0 && !r.stays(n) {
		return nil
	}
	return b
}

// stays reports whether a branch lives on when it is empty.
func (r *remover) stays(n *schema.Node) bool {
	return n.Presence() || (n.Kind() == schema.List && !r.tree.state)
}

// clear takes everything away that only accepts.
func (r *remover) clear(b *branch, n *schema.Node) (left *branch, changed bool) {
	if r.only == nil {
		return nil, true
	}
	for _, k := range slices.Clone(b.kids) {
		step := schema.Step{Node: k.node}
		l, did := r.strip(b, n, schema.Path{step})
		if did {
			changed = true
			if l == nil {
				return nil, true
			}
			b = l
		}
	}
	return b, changed
}

// prune drops the empty containers at the end of a path.
func (w *writer) prune(path schema.Path) {
	for ; len(path) > 0; path = path[:len(path)-1] {
		n := path[len(path)-1].Node
		b := reach(w.root, path)
		if n.Kind() == schema.List || n.Presence() || b == nil || len(b.kids) > 0 {
			return
		}
		w.open(path[:len(path)-1]).unset(n)
	}
}
