// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	gnmi "github.com/openconfig/gnmi/proto/gnmi"
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

// Path is a data path bound to the model. An empty Path is the root.
type Path []Step

// Node is the schema node at the end.
func (p Path) Node(m *Model) *Node {
	if len(p) == 0 {
		return m.Root()
	}
	return p[len(p)-1].Node
}

// Complete reports whether every list step has every key.
func (p Path) Complete() bool { panic("declared") }

// String writes the path as /interfaces/interface[name=ge0]/config, identityref keys without module.
func (p Path) String() string { panic("declared") }

// GNMI writes the path as a new message, without origin and target. Keys that are any are written as "*".
func (p Path) GNMI() *gnmi.Path { panic("declared") }

// Covers reports whether q is at or below p, where any in p matches every key.
func (p Path) Covers(q Path) bool { panic("declared") }

// Join is prefix + path (gNMI 0.11 §2.2.2) with origin and target resolved: origin from either, not both.
// The result has no target. A nil prefix or path is empty. Fails with BadPath.
func Join(prefix, path *gnmi.Path) (*gnmi.Path, error) { panic("declared") }
