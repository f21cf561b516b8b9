// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// index finds the claim of a path in time proportional to the path's length. Claims never overlap, so at
// most one answers. It is not safe for concurrent use.
type index struct {
	root *node
}

// node is one element of the patterns. Patterns that differ in their keys only share a node.
type node struct {
	children map[string]*node
	claims   []*claim
}

func newIndex() *index { return &index{root: &node{}} }

func (x *index) add(c *claim) {
	at := x.root
	for _, e := range c.pattern.GetElem() {
		next := at.children[e.GetName()]
		if next == nil {
			next = &node{}
			if at.children == nil {
				at.children = map[string]*node{}
			}
			at.children[e.GetName()] = next
		}
		at = next
	}
	at.claims = append(at.claims, c)
}

// lookup returns the claim that a path lies on or below, and how many elements its pattern has.
func (x *index) lookup(path *gnmi.Path) (*claim, int) {
	at := x.root
	for depth := 0; ; depth++ {
		for _, c := range at.claims {
			if gpath.MatchPrefix(c.pattern, path) {
				return c, depth
			}
		}
		if depth == len(path.GetElem()) {
			return nil, 0
		}
		if at = at.children[path.GetElem()[depth].GetName()]; at == nil {
			return nil, 0
		}
	}
}

// overlap reports whether some path could lie on or below both patterns.
func overlap(a, b *gnmi.Path) bool {
	for i := range min(len(a.GetElem()), len(b.GetElem())) {
		ea, eb := a.GetElem()[i], b.GetElem()[i]
		if ea.GetName() != eb.GetName() {
			return false
		}
		for k, va := range ea.GetKey() {
			if vb, ok := eb.GetKey()[k]; ok && va != vb && va != gpath.Wildcard && vb != gpath.Wildcard {
				return false
			}
		}
	}
	return true
}
