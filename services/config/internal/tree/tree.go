// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// Tree is a version of the data.
type Tree struct{}

// NewConfig is the empty configuration; NewState the empty state.
func NewConfig(m *schema.Model) *Tree { panic("declared") }
func NewState(m *schema.Model) *Tree  { panic("declared") }

// FromJSON reads a whole configuration from one RFC 7951 document, as Tree.JSON writes it.
func FromJSON(m *schema.Model, doc []byte) (*Tree, error) { panic("declared") }

// JSON is the whole tree as one RFC 7951 document, without defaults: what to keep on disk. An empty tree is {}.
func (t *Tree) JSON() []byte { panic("declared") }

func (t *Tree) Model() *schema.Model { panic("declared") }

// Empty reports whether nothing is set.
func (t *Tree) Empty() bool { panic("declared") }

// Edit starts a transaction on a configuration tree; at is the timestamp of its leaves.
func (t *Tree) Edit(at time.Time) *Edit { panic("declared") }

// Edit is a candidate. After any method returned an error the Edit is void: drop it, nothing has changed.
type Edit struct{}

// Apply takes all operations of a SetRequest, deletes first, then replaces, then updates, in order within each
// (gNMI 0.11 §3.4). Paths are joined with the prefix. union_replace is not handled here.
func (e *Edit) Apply(req *gnmi.SetRequest) error { panic("declared") }

// Delete removes what is at and below every match of the path; "*", "..." and absent keys match all. Absent is no error.
func (e *Edit) Delete(p *gnmi.Path) error { panic("declared") }

// Replace makes the value all there is at the path; what it omits returns to its default.
func (e *Edit) Replace(p *gnmi.Path, v *gnmi.TypedValue) error { panic("declared") }

// Update merges the value.
func (e *Edit) Update(p *gnmi.Path, v *gnmi.TypedValue) error { panic("declared") }

// Commit checks cross-references for what changed and returns the new tree and the net changes. The Edit is then spent.
func (e *Edit) Commit() (*Tree, *Changes, error) { panic("declared") }

// Changes are the differences between two trees.
type Changes struct{ Old, New *Tree }

// Diff compares two trees of one model. Its cost is the size of what differs when the trees share history.
func Diff(old, new *Tree) *Changes { panic("declared") }

// Leaves are the changed leaves, keys included, in schema and key order.
func (c *Changes) Leaves() []Change { panic("declared") }

// Empty reports that nothing differs.
func (c *Changes) Empty() bool { panic("declared") }

// Change is one leaf that differs. Old or New is the zero Value where the leaf is absent.
type Change struct {
	Path     schema.Path
	Old, New schema.Value
	At       time.Time
}

// Object is the configuration at one instance of an owner's pattern, as RFC 7951 JSON with defaults in use filled in.
// nil: nothing configured there.
type Object struct {
	Path     schema.Path
	Pattern  int // index into the patterns given
	Old, New []byte
}

// Objects groups the changes by the first pattern that covers them. orphans are changed leaves that no pattern covers.
func (c *Changes) Objects(patterns []schema.Path) (objects []Object, orphans []schema.Path) {
	panic("declared")
}

// Objects lists every object of the tree that a pattern matches, with New set: an owner's snapshot.
func (t *Tree) Objects(patterns []schema.Path) []Object { panic("declared") }

// Filter is a set of classes of leaves.
type Filter uint8

const (
	All         Filter = iota // everything
	OnlyConfig                // configuration
	OnlyState                 // everything config false
	Operational               // state that no configuration leaf stands behind
)

// View is several trees of one model read as one: usually the configuration and the state. The first tree that has a leaf
// wins. Configuration defaults in use are shown.
type View []*Tree

// Leaf is one leaf of a View.
type Leaf struct {
	Value schema.Value
	// At is when it changed; zero for a default.
	At      time.Time
	Default bool
	node    *schema.Node
	elems   []*gnmi.PathElem
}

func (l *Leaf) Node() *schema.Node { return l.node }

// GNMI is a new absolute path. Its elements are shared and must not be changed.
func (l *Leaf) GNMI() *gnmi.Path { panic("declared") }

// Walk calls fn for every leaf at and below the path (any keys match all), in schema and key order, until fn returns false.
// The Leaf is only valid during the call; GNMI's result may be kept. Returns whether it went to the end.
func (v View) Walk(p schema.Path, f Filter, fn func(*Leaf) bool) bool { panic("declared") }

// Find lists the instances of the path that exist and have something that passes the filter, complete with keys.
func (v View) Find(p schema.Path, f Filter) []schema.Path { panic("declared") }

// RenderJSON writes the value at one complete path: an object for a container or list entry, an array for a list, the bare value for a leaf.
// enc is schema.JSON or schema.JSONIETF. ok is false when nothing is there.
func (v View) RenderJSON(p schema.Path, f Filter, enc schema.Encoding) (doc []byte, ok bool) {
	panic("declared")
}

// Lookup is the value of one leaf.
func (v View) Lookup(p schema.Path) (Leaf, bool) { panic("declared") }

// Publisher names one source of state in a state tree.
type Publisher uint32

// StateEdit is a batch of telemetry.
type StateEdit struct{}

// EditState starts a batch on a state tree.
func (t *Tree) EditState() *StateEdit { panic("declared") }

// Put takes the updates and deletes of one notification of a publisher. A leaf that the model does not know, that is not state, or
// whose value does not fit is skipped and reported; the others are taken. A leaf of another publisher is not overwritten (reported).
func (e *StateEdit) Put(by Publisher, n *gnmi.Notification) []error { panic("declared") }

// Resync begins the snapshot of a publisher: what it does not Put again before Sweep is removed by Sweep.
func (e *StateEdit) Resync(by Publisher) { panic("declared") }

// Sweep ends the snapshot of a publisher.
func (e *StateEdit) Sweep(by Publisher) { panic("declared") }

// Drop removes everything a publisher said.
func (e *StateEdit) Drop(by Publisher) { panic("declared") }

// Commit returns the new tree; its changes are those of Diff.
func (e *StateEdit) Commit() (*Tree, *Changes) { panic("declared") }
