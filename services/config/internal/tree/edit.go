// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"fmt"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// Edit is a candidate. After any method returned an error the Edit is void: drop it, the tree it came from is as before.
type Edit struct {
	base *Tree
	writer
}

// Edit starts a transaction on a configuration tree; at is the timestamp of the leaves it changes.
func (t *Tree) Edit(at time.Time) *Edit {
	by := &token{}
	return &Edit{base: t, writer: writer{tree: t, by: by, root: t.root.own(by), at: at.UnixNano()}}
}

// Apply takes all operations of a SetRequest, deletes first, then replaces, then updates, in order within each
// (gNMI 0.11 §3.4). Paths are joined with the prefix. union_replace is not handled here.
func (e *Edit) Apply(req *gnmi.SetRequest) error {
	for _, p := range req.GetDelete() {
		if err := e.joined(req.GetPrefix(), p, e.Delete); err != nil {
			return err
		}
	}
	for _, u := range req.GetReplace() {
		if err := e.assign(req.GetPrefix(), u, e.Replace); err != nil {
			return err
		}
	}
	for _, u := range req.GetUpdate() {
		if err := e.assign(req.GetPrefix(), u, e.Update); err != nil {
			return err
		}
	}
	return nil
}

func (e *Edit) joined(prefix, p *gnmi.Path, do func(*gnmi.Path) error) error {
	full, err := schema.Join(prefix, p)
	if err != nil {
		return err
	}
	return do(full)
}

func (e *Edit) assign(prefix *gnmi.Path, u *gnmi.Update, do func(*gnmi.Path, *gnmi.TypedValue) error) error {
	return e.joined(prefix, u.GetPath(), func(p *gnmi.Path) error { return do(p, u.GetVal()) })
}

// Delete removes what is at and below every match of the path; "*", "..." and absent keys match all. Absent is no error
// (gNMI 0.11 §3.4.6). State below a match is left alone; a path that is state itself is refused, as is a key of a list.
// Deleting the container that holds config/<key> resets the rest of it: the entry remains.
func (e *Edit) Delete(p *gnmi.Path) error {
	matches, err := e.tree.model.Match(p)
	if err != nil {
		return err
	}
	done := false
	for _, m := range matches {
		n := m.Node(e.tree.model)
		switch {
		case !n.Config():
			err = refuse(schema.ReadOnly, m, "this is state; it cannot be deleted")
		case n.IsKey() || n.Mirror() != nil:
			err = refuse(schema.BadPath, m, "this is a key; delete the entry")
		default:
			e.writer.remove(m, nil)
			done = true
		}
	}
	if done {
		return nil
	}
	return err
}

// Replace makes the value all there is at the path; what it omits returns to its default. What it does not change keeps
// its timestamp and is no change.
func (e *Edit) Replace(p *gnmi.Path, v *gnmi.TypedValue) error { return e.write(p, v, true) }

// Update merges the value into what is there.
func (e *Edit) Update(p *gnmi.Path, v *gnmi.TypedValue) error { return e.write(p, v, false) }

func (e *Edit) write(p *gnmi.Path, v *gnmi.TypedValue, replace bool) error {
	path, err := e.tree.model.Resolve(p)
	if err != nil {
		return err
	}
	n := path.Node(e.tree.model)
	switch {
	case !n.Config():
		return refuse(schema.ReadOnly, path, "this is state; it cannot be set")
	case !path.Complete():
		return refuse(schema.BadPath, path, "every key must be given, without wildcards, to set something")
	case n.IsLeaf():
		value, err := n.DecodeAt(path, v)
		if err != nil {
			return err
		}
		return e.writer.put(path, value)
	}
	doc, enc, err := document(path, v)
	if err != nil {
		return err
	}
	if replace {
		return e.writer.replace(path, doc, enc)
	}
	return e.writer.update(path, doc, enc)
}

// document is the JSON object that a container or list entry is set to.
func document(path schema.Path, v *gnmi.TypedValue) (*schema.Document, schema.Encoding, error) {
	enc, text := schema.JSONIETF, v.GetJsonIetfVal()
	switch v.GetValue().(type) {
	case *gnmi.TypedValue_JsonIetfVal:
	case *gnmi.TypedValue_JsonVal:
		enc, text = schema.JSON, v.GetJsonVal()
	default:
		return nil, 0, refuse(schema.BadValue, path, "a container or list entry takes json_ietf_val or json_val")
	}
	doc, err := schema.ParseDocument(text)
	if err != nil {
		return nil, 0, refuse(schema.BadValue, path, "%v", err)
	}
	if doc.Kind != schema.Object {
		return nil, 0, refuse(schema.BadValue, path, "the value must be a JSON object, not %s", doc.Kind)
	}
	return doc, enc, nil
}

// Commit checks cross-references and mandatory leaves around what changed and returns the new tree and the net changes.
// The Edit is then spent. Without changes the tree is the old one.
func (e *Edit) Commit() (*Tree, *Changes, error) {
	t := *e.base
	t.root = e.root
	e.writer.freeze()
	changes := Diff(e.base, &t)
	if changes.Empty() {
		return e.base, Diff(e.base, e.base), nil
	}
	if err := check(changes, &t); err != nil {
		return nil, nil, err
	}
	return &t, changes, nil
}

func refuse(kind schema.Kind, path schema.Path, format string, args ...any) error {
	return &schema.Error{Kind: kind, Path: path.String(), Reason: fmt.Sprintf(format, args...)}
}

// below writes a path with one more element, for errors.
func below(path string, name string) string {
	if path == "/" {
		return "/" + name
	}
	return path + "/" + name
}
