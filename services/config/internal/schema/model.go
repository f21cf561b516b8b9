// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

// Model is a compiled set of modules.
type Model struct {
	root    *Node
	modules []*Module
}

// Root is the unnamed container above all modules.
func (m *Model) Root() *Node { return m.root }

// Modules are sorted by name; those with data nodes and those without. Do not change the slice.
func (m *Model) Modules() []*Module { return m.modules }
