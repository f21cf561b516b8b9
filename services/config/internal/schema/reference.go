// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"regexp"
	"strings"
)

// Reference is a leafref, compiled.
type Reference struct {
	target *Node
	// shared is how many leading steps of the leaf's path the target's path begins with, keys included.
	shared   int
	required bool
	// predicates bind a key of a list on the way to the value of another leaf.
	predicates []predicate
}

// predicate says that the key at position key of list equals the leaf reached from the referring leaf.
type predicate struct {
	list *Node
	key  int
	leaf *Node
}

// Reference is nil when the leaf is no leafref.
func (n *Node) Reference() *Reference { return n.ref }

// Target is the leaf that must exist with the same value.
func (r *Reference) Target() *Node { return r.target }

// Required reports whether the target must exist (require-instance).
func (r *Reference) Required() bool { return r.required }

// Pattern is where the target of the leaf at path from, which holds value, has to be: a path to the target leaf with the
// keys bound that are known. lookup gives the value of a leaf in the same data. ok is false when a predicate names a leaf
// that is not set, so that nothing can match.
func (r *Reference) Pattern(from Path, value Value, lookup func(Path) (Value, bool)) (p Path, ok bool) {
	p = make(Path, 0, r.target.depth)
	p = append(p, from[:r.shared]...)
	for _, n := range r.target.ancestry()[r.shared:] {
		step := Step{Node: n}
		if n.kind == List {
			step.Keys = make([]Key, len(n.keys))
			for i := range step.Keys {
				step.Keys[i].Any = true
			}
		}
		p = append(p, step)
	}
	for _, q := range r.predicates {
		v, found := lookup(from.To(q.leaf))
		if !found {
			return nil, false
		}
		p[q.list.depth-1].Keys[q.key] = Key{Value: v}
	}
	if at := r.target.entryKey(); at >= 0 {
		if key := &p[r.target.entry().depth-1].Keys[at]; key.Any {
			*key = Key{Value: value}
		}
	}
	return p, true
}

// entry is the list whose entry the node is in; nil outside lists.
func (n *Node) entry() *Node {
	for n = n.parent; n != nil && n.kind != List; n = n.parent {
	}
	return n
}

// entryKey is the position of the key that the leaf is or mirrors; -1 when it is neither.
func (n *Node) entryKey() int {
	key := n
	if !n.isKey {
		key = n.mirror
	}
	if key == nil {
		return -1
	}
	return key.index
}

// ancestry is the way from below the root to the node itself.
func (n *Node) ancestry() []*Node {
	way := make([]*Node, n.depth)
	for ; n.depth > 0; n = n.parent {
		way[n.depth-1] = n
	}
	return way
}

// To is the path of a node that shares ancestors with the path, taking the keys of those shared.
func (p Path) To(n *Node) Path {
	out := make(Path, 0, n.depth)
	for i, step := range n.ancestry() {
		if i < len(p) && p[i].Node == step {
			out = append(out, p[i])
		} else {
			out = append(out, Step{Node: step})
		}
	}
	return out
}

func (c *compiler) references(n *Node) {
	if !n.IsLeaf() {
		return
	}
	t := c.sources[n].Type
	if t.Path == "" {
		return
	}
	r := &Reference{required: !t.OptionalInstance}
	at := n
	text := t.Path
	if strings.HasPrefix(text, "/") {
		at = c.model.root
	}
	shared := at
	for _, step := range splitReference(text) {
		name, conditions, _ := strings.Cut(step, "[")
		if name == ".." {
			at = at.parent
			shared = at
		} else if at != nil {
			at = at.byName[bare(name)]
		}
		if at == nil {
			c.fail(n.path, "its leafref path %q leads nowhere", text)
			return
		}
		if conditions != "" && !c.predicates(n, r, at, "["+conditions) {
			return
		}
	}
	if !at.IsLeaf() {
		c.fail(n.path, "its leafref path %q is no leaf", text)
		return
	}
	r.target, r.shared = at, shared.depth
	n.ref = r
}

func (c *compiler) predicates(n *Node, r *Reference, list *Node, text string) bool {
	form := regexp.MustCompile(`^\[\s*([^\s=\]]+)\s*=\s*current\(\)\s*/\s*([^\]]+)\]\s*(.*)$`)
	for text != "" {
		m := form.FindStringSubmatch(text)
		if m == nil {
			c.fail(n.path, "its leafref predicate %q is not supported", text)
			return false
		}
		key := list.byName[bare(m[1])]
		leaf := n
		for _, step := range splitReference(m[2]) {
			switch {
			case leaf == nil:
			case step == "..":
				leaf = leaf.parent
			default:
				leaf = leaf.byName[bare(step)]
			}
		}
		if key == nil || !key.isKey || leaf == nil || !leaf.IsLeaf() {
			c.fail(n.path, "its leafref predicate %q names no key or no leaf", text)
			return false
		}
		leaf.dependents = append(leaf.dependents, n)
		r.predicates = append(r.predicates, predicate{list: list, key: key.index, leaf: leaf})
		text = m[3]
	}
	return true
}

// splitReference splits at slashes outside brackets.
func splitReference(text string) []string {
	var steps []string
	depth, start := 0, 0
	for i, r := range text + "/" {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == '/' && depth == 0:
			if s := strings.TrimSpace(text[start:i]); s != "" {
				steps = append(steps, s)
			}
			start = i + 1
		}
	}
	return steps
}

func bare(name string) string { return strings.TrimSpace(name[strings.IndexByte(name, ':')+1:]) }
