// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"slices"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// Filter is a set of classes of leaves: the Type of a gNMI Get (gNMI 0.11 §3.3.1).
type Filter uint8

const (
	All         Filter = iota // everything
	OnlyConfig                // configuration
	OnlyState                 // everything config false
	Operational               // state that no configuration leaf stands behind
)

func (f Filter) admits(c schema.Class) bool {
	switch f {
	case OnlyConfig:
		return c == schema.Config
	case OnlyState:
		return c != schema.Config
	case Operational:
		return c == schema.Operational
	}
	return true
}

// View is up to four trees of one model read as one: usually the configuration and the state. The first tree that has a
// leaf wins. Configuration defaults in use are shown. It costs nothing to make.
type View []*Tree

// Leaf is one leaf of a View.
type Leaf struct {
	Value schema.Value
	// At is when it changed; zero for a default.
	At      time.Time
	Default bool
	node    *schema.Node
	walker  *walker
}

// Node is the leaf's schema.
func (l *Leaf) Node() *schema.Node { return l.node }

// Path is a new path of the leaf.
func (l *Leaf) Path() schema.Path {
	return append(slices.Clone(l.walker.path), schema.Step{Node: l.node})
}

// GNMI is a new absolute path. Its elements are shared and must not be changed.
func (l *Leaf) GNMI() *gnmi.Path { return &gnmi.Path{Elem: l.walker.elements(l.node)} }

// Walk calls fn for every leaf at and below the path (any keys match all), in schema and key order, until fn returns
// false. The Leaf is only valid during the call; what GNMI and Path return may be kept. Returns whether it went to the end.
func (v View) Walk(p schema.Path, f Filter, fn func(*Leaf) bool) bool {
	if len(v) == 0 {
		return true
	}
	w := newWalker(v, f, len(p))
	w.leaf.walker = w
	w.arrive = func(n *schema.Node, at layers, configured bool) bool { return w.emit(n, at, configured, fn) }
	root, configured := v.roots()
	return w.descend(v[0].model.Root(), root, p, configured)
}

// Find lists the instances of the path that exist and have something that passes the filter, complete with keys.
func (v View) Find(p schema.Path, f Filter) []schema.Path {
	if len(v) == 0 {
		return nil
	}
	var found []schema.Path
	w := newWalker(v, f, len(p))
	w.leaf.walker = w
	w.arrive = func(n *schema.Node, at layers, configured bool) bool {
		if !w.emit(n, at, configured, func(*Leaf) bool { return false }) {
			path := slices.Clone(w.path)
			if n.IsLeaf() {
				path = append(path, schema.Step{Node: n})
			}
			found = append(found, path)
		}
		return true
	}
	root, configured := v.roots()
	w.descend(v[0].model.Root(), root, p, configured)
	return found
}

// Lookup is the value of one leaf at a complete path. The Leaf may be kept, but has no path.
func (v View) Lookup(p schema.Path) (Leaf, bool) {
	var found Leaf
	ok := !v.Walk(p, All, func(l *Leaf) bool {
		found = *l
		found.walker = nil
		return false
	})
	return found, ok
}

// Updates are the leaves at and below the path as gNMI updates in the encoding.
func (v View) Updates(p schema.Path, f Filter, enc schema.Encoding) []*gnmi.Update {
	var updates []*gnmi.Update
	v.Walk(p, f, func(l *Leaf) bool {
		updates = append(updates, &gnmi.Update{Path: l.GNMI(), Val: l.Value.TypedValue(enc)})
		return true
	})
	return updates
}

// roots are the layers at the root, and whether there is configuration among them.
func (v View) roots() (layers, bool) {
	var at layers
	configured := false
	for i, t := range v {
		at[i] = t.root
		configured = configured || !t.state
	}
	return at, configured
}
