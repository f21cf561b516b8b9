// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// layers are the branches of a View's trees at one place, nil where a tree has none.
type layers [4]*branch

func (at *layers) none() bool { return *at == layers{} }

// below are the containers for a child.
func (at *layers) below(n *schema.Node) layers {
	var out layers
	for i, b := range at {
		out[i] = b.branch(n)
	}
	return out
}

// walker goes through a View in schema and key order.
type walker struct {
	view   View
	filter Filter
	// plain leaves defaults out.
	plain bool
	// path is where the walk is; elems are its elements, nil where nobody asked yet.
	path  schema.Path
	elems []*gnmi.PathElem
	// arrive is called at each instance of the path walked to, until it returns false. For a leaf, at is around it.
	arrive func(n *schema.Node, at layers, configured bool) bool
	leaf   Leaf
}

func newWalker(v View, f Filter, depth int) *walker {
	return &walker{view: v, filter: f, path: make(schema.Path, 0, depth+8), elems: make([]*gnmi.PathElem, 0, depth+8)}
}

func (w *walker) push(s schema.Step) {
	w.path = append(w.path, s)
	w.elems = append(w.elems, nil)
}

func (w *walker) pop() {
	w.path = w.path[:len(w.path)-1]
	w.elems = w.elems[:len(w.elems)-1]
}

// elements are those of the path and the leaf, in a new slice.
func (w *walker) elements(leaf *schema.Node) []*gnmi.PathElem {
	out := make([]*gnmi.PathElem, len(w.elems)+1)
	for i := range w.elems {
		if w.elems[i] == nil {
			w.elems[i] = w.path[i].Elem()
		}
		out[i] = w.elems[i]
	}
	out[len(w.elems)] = schema.Step{Node: leaf}.Elem()
	return out
}

// descend goes to every instance of the steps below n. configured says whether n is part of the configuration, be it
// empty, so that its defaults are in use.
func (w *walker) descend(n *schema.Node, at layers, steps schema.Path, configured bool) bool {
	if len(steps) == 0 {
		return w.arrive(n, at, configured)
	}
	child := steps[0].Node
	switch {
	case child.IsLeaf():
		return w.arrive(child, at, configured)
	case child.Kind() == schema.List:
		return w.entries(child, at, steps[0], func(at layers, configured bool) bool {
			return w.descend(child, at, steps[1:], configured)
		})
	}
	return w.container(child, at, configured, func(at layers, configured bool) bool {
		return w.descend(child, at, steps[1:], configured)
	})
}

// container visits a container, if it is there or has defaults in use.
func (w *walker) container(n *schema.Node, at layers, configured bool, visit func(layers, bool) bool) bool {
	inside := at.below(n)
	if n.Presence() {
		configured = configured && w.configuredIn(inside)
	}
	if inside.none() && !(configured && n.HasDefaults() && !w.plain) {
		return true
	}
	w.push(schema.Step{Node: n})
	defer w.pop()
	return visit(inside, configured)
}

func (w *walker) configuredIn(at layers) bool {
	for i, t := range w.view {
		if !t.state && at[i] != nil {
			return true
		}
	}
	return false
}

// entries visits the entries of a list that match the step, merged over the layers, in order of their keys.
func (w *walker) entries(n *schema.Node, at layers, step schema.Step, visit func(layers, bool) bool) bool {
	visitOne := func(inside layers) bool {
		var s schema.Step
		for _, b := range inside {
			if b != nil {
				s = b.step(n)
				break
			}
		}
		w.push(s)
		defer w.pop()
		return visit(inside, w.configuredIn(inside))
	}
	if step.Complete() {
		wanted := probe(step)
		var inside layers
		for i, b := range at {
			inside[i], _ = find(b.list(n), wanted)
		}
		return inside.none() || visitOne(inside)
	}
	var cursors [len(layers{})]cursor[*branch]
	for i, b := range at {
		cursors[i].push(b.list(n))
	}
	for {
		inside := least(&cursors)
		if inside.none() {
			return true
		}
		for _, b := range inside {
			if b != nil {
				if b.matches(step) && !visitOne(inside) {
					return false
				}
				break
			}
		}
	}
}

// least takes the entries with the smallest keys from the cursors.
func least(cursors *[len(layers{})]cursor[*branch]) layers {
	var out layers
	var first *branch
	for i := range cursors {
		b, ok := cursors[i].item()
		if !ok {
			continue
		}
		switch {
		case first == nil || b.order(first) < 0:
			out = layers{}
			first = b
			out[i] = b
		case b.order(first) == 0:
			out[i] = b
		}
	}
	for i := range out {
		if out[i] != nil {
			cursors[i].next()
		}
	}
	return out
}

// emit visits the leaf, or every leaf below the branch.
func (w *walker) emit(n *schema.Node, at layers, configured bool, fn func(*Leaf) bool) bool {
	if n.IsLeaf() {
		return !w.value(n, at, configured) || fn(&w.leaf)
	}
	for _, child := range n.Children() {
		more := true
		switch {
		case child.IsLeaf():
			more = !w.value(child, at, configured) || fn(&w.leaf)
		case child.Kind() == schema.List:
			more = w.entries(child, at, schema.Step{Node: child}, func(at layers, configured bool) bool {
				return w.emit(child, at, configured, fn)
			})
		default:
			more = w.container(child, at, configured, func(at layers, configured bool) bool {
				return w.emit(child, at, configured, fn)
			})
		}
		if !more {
			return false
		}
	}
	return true
}

// value puts the leaf n of the branches into w.leaf, if it has a value that passes the filter.
func (w *walker) value(n *schema.Node, at layers, configured bool) bool {
	if !w.filter.admits(n.Class()) {
		return false
	}
	w.leaf.node, w.leaf.Default = n, false
	if n.IsKey() {
		return w.key(n, at, configured)
	}
	for _, b := range at {
		if l := b.leaf(n); l != nil {
			w.leaf.Value, w.leaf.At = l.value, time.Unix(0, l.at)
			return true
		}
	}
	v, ok := n.Default()
	if !ok || !configured || !n.Config() || w.plain {
		return false
	}
	w.leaf.Value, w.leaf.At, w.leaf.Default = v, time.Time{}, true
	return true
}

// key is value for a key leaf. As configuration it counts only where the entry is configured.
func (w *walker) key(n *schema.Node, at layers, configured bool) bool {
	if w.filter == OnlyConfig && !configured {
		return false
	}
	for _, b := range at {
		if b != nil {
			w.leaf.Value, w.leaf.At = b.key(n), time.Unix(0, b.at)
			return true
		}
	}
	return false
}
