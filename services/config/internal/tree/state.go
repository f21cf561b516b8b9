// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"maps"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// Publisher names one source of state in a state tree. 0 is nobody.
type Publisher uint32

// StateEdit is a batch of telemetry. It belongs to one goroutine.
type StateEdit struct {
	base   *Tree
	epochs map[Publisher]uint32
	writer
}

// EditState starts a batch on a state tree.
func (t *Tree) EditState() *StateEdit {
	by := &token{}
	return &StateEdit{base: t, epochs: t.epochs, writer: writer{tree: t, by: by, root: t.root.own(by)}}
}

// Put takes one notification of a publisher: its deletes, then its updates (gNMI 0.11 §2.1). A leaf that the model does
// not know, that is not state, or whose value does not fit is skipped and reported; the others are taken. So is a leaf
// that another publisher holds: one path has one publisher. A delete only takes the publisher's own leaves.
func (e *StateEdit) Put(by Publisher, n *gnmi.Notification) []error {
	e.publisher, e.epoch, e.at = by, e.epochs[by], n.GetTimestamp()
	var errs []error
	for _, p := range n.GetDelete() {
		if err := e.drop(n.GetPrefix(), p); err != nil {
			errs = append(errs, err)
		}
	}
	for _, u := range n.GetUpdate() {
		if err := e.set(n.GetPrefix(), u); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func (e *StateEdit) mine(l *leaf) bool { return l.by == e.publisher }

func (e *StateEdit) drop(prefix, p *gnmi.Path) error {
	full, err := schema.Join(prefix, p)
	if err != nil {
		return err
	}
	matches, err := e.tree.model.Match(full)
	for _, path := range matches {
		e.writer.remove(path, e.mine)
	}
	return err
}

func (e *StateEdit) set(prefix *gnmi.Path, u *gnmi.Update) error {
	full, err := schema.Join(prefix, u.GetPath())
	if err != nil {
		return err
	}
	path, err := e.tree.model.Resolve(full)
	if err != nil {
		return err
	}
	n := path.Node(e.tree.model)
	switch {
	case !path.Complete():
		return refuse(schema.BadPath, path, "every key must be given")
	case !n.IsLeaf():
		return refuse(schema.BadPath, path, "a publisher sends leaves")
	case n.Config() && !n.IsKey():
		return refuse(schema.ReadOnly, path, "this is configuration; a publisher cannot set it")
	}
	v, err := n.DecodeAt(path, u.GetVal())
	if err != nil {
		return err
	}
	return e.store(path, n, v)
}

func (e *StateEdit) store(path schema.Path, n *schema.Node, v schema.Value) error {
	if err := agree(path, n, v); err != nil {
		return err
	}
	if n.IsKey() {
		return nil // the entry lives by its other leaves
	}
	if old, ok := e.lookup(path); ok && old.by != e.publisher {
		return refuse(schema.BadValue, path, "another publisher holds this leaf")
	}
	e.open(path[:len(path)-1]).set(n, e.leafOf(v))
	return nil
}

// Resync begins the snapshot of a publisher: what it does not Put again before Sweep is removed by Sweep.
func (e *StateEdit) Resync(by Publisher) {
	e.epochs = maps.Clone(e.epochs)
	e.epochs[by]++
}

// Sweep ends the snapshot of a publisher.
func (e *StateEdit) Sweep(by Publisher) {
	epoch := e.epochs[by]
	e.writer.remove(nil, func(l *leaf) bool { return l.by == by && l.epoch != epoch })
}

// Drop removes everything a publisher said.
func (e *StateEdit) Drop(by Publisher) {
	e.writer.remove(nil, func(l *leaf) bool { return l.by == by })
}

// Commit returns the new tree; its changes are those of Diff. The batch is then spent.
func (e *StateEdit) Commit() (*Tree, *Changes) {
	t := *e.base
	t.root, t.epochs = e.root, e.epochs
	e.writer.freeze()
	return &t, Diff(e.base, &t)
}
