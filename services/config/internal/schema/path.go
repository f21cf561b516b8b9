// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"slices"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// Key is one key of a list step: a value, or any.
type Key struct {
	Value Value
	Any   bool
}

// Step is one level of a Path. Keys has the length of Node.Keys() when the step is a list, except that it is nil for a
// list without any key said, which means the same as all keys any.
type Step struct {
	Node *Node
	Keys []Key
}

// Path is a data path bound to the model. An empty Path is the root. Paths that were handed out are not changed.
type Path []Step

// Node is the schema node at the end.
func (p Path) Node(m *Model) *Node {
	if len(p) == 0 {
		return m.Root()
	}
	return p[len(p)-1].Node
}

// Complete reports whether every list step has every key.
func (p Path) Complete() bool {
	return !slices.ContainsFunc(p, func(s Step) bool { return s.Node.kind == List && !s.Complete() })
}

// Complete reports whether a list step has every key.
func (s Step) Complete() bool {
	return s.Keys != nil && !slices.ContainsFunc(s.Keys, func(k Key) bool { return k.Any })
}

// String writes the path as /interfaces/interface[name=ge0]/config, identityref keys without module.
func (p Path) String() string { return gpath.String(&gnmi.Path{Elem: p.elems()}) }

// GNMI writes the path as a new message, without origin and target. Keys that are any are written as "*".
func (p Path) GNMI() *gnmi.Path { return &gnmi.Path{Elem: p.elems()} }

func (p Path) elems() []*gnmi.PathElem {
	elems := make([]*gnmi.PathElem, len(p))
	for i, step := range p {
		elems[i] = step.Elem()
	}
	return elems
}

// Elem writes the step as a path element. Elements of steps that are no lists are shared: do not change them.
func (s Step) Elem() *gnmi.PathElem {
	if s.Node.kind != List {
		return s.Node.elem
	}
	elem := &gnmi.PathElem{Name: s.Node.name, Key: make(map[string]string, len(s.Node.keys))}
	for i, leaf := range s.Node.keys {
		elem.Key[leaf.name] = gpath.Wildcard
		if s.Keys != nil && !s.Keys[i].Any {
			elem.Key[leaf.name] = s.Keys[i].Value.String()
		}
	}
	return elem
}

// Covers reports whether q is at or below p, where any in p matches every key.
func (p Path) Covers(q Path) bool {
	if len(p) > len(q) {
		return false
	}
	for i, step := range p {
		if !step.covers(q[i]) {
			return false
		}
	}
	return true
}

func (s Step) covers(t Step) bool {
	if s.Node != t.Node {
		return false
	}
	for i, key := range s.Keys {
		if !key.Any && (t.Keys == nil || t.Keys[i].Any || !t.Keys[i].Value.Equal(key.Value)) {
			return false
		}
	}
	return true
}

// Equal reports whether both are the same path.
func (p Path) Equal(q Path) bool { return len(p) == len(q) && p.Covers(q) && q.Covers(p) }

// SchemaString writes the path without keys.
func (p Path) SchemaString() string {
	if len(p) == 0 {
		return "/"
	}
	return p[len(p)-1].Node.path
}
