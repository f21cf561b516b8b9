// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"hash/maphash"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// Tree is one version of the data.
type Tree struct {
	model *schema.Model
	// state: holds state instead of configuration.
	state bool
	seed  maphash.Seed
	root  *branch
	// counts index the values of required leafrefs in configuration.
	counts *node[*count]
	// epochs number the snapshots of each publisher of state.
	epochs map[Publisher]uint32
}

// NewConfig is the empty configuration.
func NewConfig(m *schema.Model) *Tree {
	return &Tree{model: m, seed: maphash.MakeSeed(), root: &branch{}}
}

// NewState is the empty state.
func NewState(m *schema.Model) *Tree {
	return &Tree{model: m, seed: maphash.MakeSeed(), root: &branch{}, state: true, epochs: map[Publisher]uint32{}}
}

// FromJSON reads a whole configuration from one RFC 7951 document, as Tree.JSON writes it; at is the timestamp of its
// leaves.
func FromJSON(m *schema.Model, doc []byte, at time.Time) (*Tree, error) {
	e := NewConfig(m).Edit(at)
	value := &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: doc}}
	if err := e.Replace(&gnmi.Path{}, value); err != nil {
		return nil, err
	}
	t, _, err := e.Commit()
	return t, err
}

// JSON is the whole tree as one RFC 7951 document, without defaults: what to keep on disk. An empty tree is {}.
func (t *Tree) JSON() []byte {
	doc, ok := renderer{view: View{t}, enc: schema.JSONIETF}.render(nil)
	if !ok {
		return []byte("{}")
	}
	return doc
}

// Model is the schema of the tree.
func (t *Tree) Model() *schema.Model { return t.model }

// Empty reports whether nothing is set.
func (t *Tree) Empty() bool { return len(t.root.kids) == 0 }
