// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"io/fs"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
)

// Model is a compiled set of modules.
type Model struct {
	root    *Node
	modules []*Module
}

// Load compiles every *.yang file at the top of the sources.
func Load(sources ...fs.FS) (*Model, error) { panic("declared") }

// Root is the unnamed container above all modules.
func (m *Model) Root() *Node { return m.root }

// Modules are sorted by name; those with data nodes and those without.
func (m *Model) Modules() []*Module { return m.modules }

// Resolve binds a gNMI path (already joined with its prefix) to the model. Keys may be absent or "*"; element names may
// not be wildcards. Fails with BadPath, UnknownPath (naming the element and the nearest name), BadValue for a key's
// value, or Unsupported for an origin other than "" and "openconfig".
func (m *Model) Resolve(p *gnmi.Path) (Path, error) { panic("declared") }

// Match is Resolve for paths that may also have "*" or "..." as elements: every schema path that fits, none of them below
// another. Fails as Resolve does, with UnknownPath when nothing fits.
func (m *Model) Match(p *gnmi.Path) ([]Path, error) { panic("declared") }
