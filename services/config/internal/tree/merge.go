// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"fmt"
	"strings"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// merger writes JSON objects into branches. Names may carry their module, and need not: RFC 7951 §4 wants it where the
// module changes, many clients leave it out. A wrong module is refused.
type merger struct {
	*writer
	enc schema.Encoding
}

func fault(kind schema.Kind, path, format string, args ...any) error {
	return &schema.Error{Kind: kind, Path: path, Reason: fmt.Sprintf(format, args...)}
}

// merge sets what the object has in an own branch.
func (m *merger) merge(b *branch, n *schema.Node, path string, doc *schema.Document) error {
	seen := make(map[*schema.Node]bool, len(doc.Members))
	for _, member := range doc.Members {
		child, err := named(n, path, member.Name)
		if err != nil {
			return err
		}
		where := below(path, child.Name())
		switch {
		case seen[child]:
			return fault(schema.BadValue, where, "the member is given twice, with and without its module")
		case !child.Config():
			return fault(schema.ReadOnly, where, "this is state; it cannot be set")
		}
		seen[child] = true
		if err := m.member(b, child, where, member.Value); err != nil {
			return err
		}
	}
	return nil
}

// named finds the child that a JSON member names.
func named(n *schema.Node, path, name string) (*schema.Node, error) {
	module, local, qualified := strings.Cut(name, ":")
	if !qualified {
		local = name
	}
	child := n.Child(local)
	if child == nil {
		return nil, n.Unknown(path, local)
	}
	if qualified && child.Module().Name != module {
		return nil, fault(schema.UnknownPath, below(path, local), "%s is not in the module %s but in %s", local, module, child.Module().Name)
	}
	return child, nil
}

func (m *merger) member(b *branch, n *schema.Node, path string, doc *schema.Document) error {
	switch {
	case doc.Kind == schema.Null:
		return fault(schema.BadValue, path, "null is no value; delete the path instead")
	case n.Kind() == schema.List:
		return m.list(b, n, path, doc)
	case n.IsLeaf():
		return m.leaf(b, n, path, doc)
	case doc.Kind != schema.Object:
		return fault(schema.BadValue, path, "the value must be a JSON object, not %s", doc.Kind)
	}
	c := m.container(b, n)
	if err := m.merge(c, n, path, doc); err != nil {
		return err
	}
	if len(c.kids) == 0 && !n.Presence() {
		b.unset(n)
	}
	return nil
}

func (m *merger) leaf(b *branch, n *schema.Node, path string, doc *schema.Document) error {
	v, err := n.DecodeDocument(path, doc, m.enc)
	if err != nil {
		return err
	}
	var was schema.Value
	switch {
	case n.IsKey():
		was = b.key(n)
	case b.leaf(n) != nil:
		was = b.leaf(n).value
	}
	switch {
	case was.Equal(v):
	case n.IsKey() || (n.Mirror() != nil && !was.IsNone()):
		return fault(schema.BadValue, path, "the value %q contradicts the key, which is %q", v.String(), was.String())
	default:
		b.set(n, m.leafOf(v))
	}
	return nil
}

func (m *merger) list(b *branch, n *schema.Node, path string, doc *schema.Document) error {
	if doc.Kind != schema.Array {
		return fault(schema.BadValue, path, "a list takes a JSON array of objects, not %s", doc.Kind)
	}
	seen := map[string]bool{}
	for _, item := range doc.Items {
		step, err := m.keys(n, path, item)
		if err != nil {
			return err
		}
		where := strings.TrimSuffix(path, n.Name()) + strings.TrimPrefix(schema.Path{step}.String(), "/")
		if seen[where] {
			return fault(schema.BadValue, where, "the entry is given twice in one array")
		}
		seen[where] = true
		if err := m.merge(m.entry(b, step), n, where, item); err != nil {
			return err
		}
	}
	return nil
}

// keys reads the keys of a list entry in JSON.
func (m *merger) keys(n *schema.Node, path string, doc *schema.Document) (schema.Step, error) {
	step := schema.Step{Node: n, Keys: make([]schema.Key, len(n.Keys()))}
	if doc.Kind != schema.Object {
		return step, fault(schema.BadValue, path, "a list entry must be a JSON object, not %s", doc.Kind)
	}
	for i, key := range n.Keys() {
		value := memberOf(doc, key)
		if value == nil {
			return step, fault(schema.BadValue, path, "an entry without its key %s", key.Name())
		}
		v, err := key.DecodeDocument(below(path, key.Name()), value, m.enc)
		if err != nil {
			return step, err
		}
		step.Keys[i].Value = v
	}
	return step, nil
}

func memberOf(doc *schema.Document, n *schema.Node) *schema.Document {
	for _, member := range doc.Members {
		if member.Name == n.Name() || member.Name == n.Module().Name+":"+n.Name() {
			return member.Value
		}
	}
	return nil
}
