// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"fmt"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// binding is what was declared at one moment, bound to the model.
type binding struct {
	from         *owners.Declarations
	declarations []owners.Declaration
	patterns     []schema.Path
}

// bind resolves what is declared now. A pattern that the model no longer knows is left out: it can own
// nothing.
func (e *Engine) bind() binding {
	declared := e.Registry.Declared()
	if e.bound.from != declared {
		e.bound = e.bindTo(declared)
	}
	return e.bound
}

func (e *Engine) bindTo(declared *owners.Declarations) binding {
	b := binding{from: declared}
	for _, d := range declared.All {
		path, err := e.Model.Resolve(d.Pattern)
		if err != nil {
			e.Log.Warn("a remembered pattern is not in the model", "owner", d.Component, "pattern", gpath.String(d.Pattern), "error", err)
			continue
		}
		b.declarations = append(b.declarations, d)
		b.patterns = append(b.patterns, path)
	}
	return b
}

// Check says whether the model knows a pattern and it is configuration.
func (e *Engine) Check(pattern *gnmi.Path) error {
	path, err := e.Model.Resolve(pattern)
	switch {
	case err != nil:
		return err
	case len(path) == 0:
		return fmt.Errorf("the root cannot be owned")
	case !path.Node(e.Model).Config():
		return fmt.Errorf("it is state, not configuration")
	}
	return nil
}

// checkOrphans refuses a change that nobody could put into effect. What structures a list above somebody's
// objects needs no owner, and what has no owner any more may still be deleted.
func checkOrphans(b binding, changes *tree.Changes, orphans []schema.Path) error {
	view := tree.View{changes.New}
	for _, path := range orphans {
		node := path[len(path)-1].Node
		if node.IsKey() && b.above(path[:len(path)-1]) || node.Mirror() != nil && b.above(entryOf(path)) {
			continue
		}
		if leaf, there := view.Lookup(path); !there || leaf.Default {
			continue
		}
		return &Refused{Path: path.String(), Code: codes.Unimplemented, Reason: "no component of this device implements it"}
	}
	return nil
}

// above reports whether some declared object lies below a list entry.
func (b binding) above(entry schema.Path) bool {
	for _, p := range b.patterns {
		if len(p) > len(entry) && p[len(entry)-1].Node == entry[len(entry)-1].Node && p[:len(entry)].Covers(entry) {
			return true
		}
	}
	return false
}

// entryOf cuts a path back to the innermost list entry it lies in.
func entryOf(path schema.Path) schema.Path {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i].Node.Kind() == schema.List {
			return path[:i+1]
		}
	}
	return nil
}
