// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath, Dir             string
	Deps                        []string
	GoFiles, SFiles, EmbedFiles []string
	Module                      *struct{ Main bool }
}

// Inputs returns for each component, by name, the files that its package is made of, relative to the tree: those of the tree's
// Go packages that go into its program, with what they embed; go.mod and go.sum, which choose the rest; its
// manifest and its contract files.
func (t *Tree) Inputs(ctx context.Context, components []Component) (map[string][]string, error) {
	packages, err := t.list(ctx, components)
	if err != nil {
		return nil, err
	}
	byDir := map[string]goPackage{}
	for _, p := range packages {
		byDir[p.Dir] = p
	}
	out := map[string][]string{}
	for _, c := range components {
		main, ok := byDir[filepath.Join(t.dir, c.Dir)]
		if !ok {
			return nil, fmt.Errorf("%s: go list knows no package there", c.Dir)
		}
		files := []string{"go.mod", "go.sum", filepath.Join(c.Dir, "component.yaml")}
		for _, path := range append(main.Deps, main.ImportPath) {
			files = append(files, packages[path].files(t.dir)...)
		}
		contracts, err := t.contracts(c)
		if err != nil {
			return nil, err
		}
		files = slices.AppendSeq(files, maps.Values(contracts))
		slices.Sort(files)
		out[c.Name] = slices.Compact(files)
	}
	return out, nil
}

// files returns those of a package of the tree itself.
func (p goPackage) files(top string) []string {
	if p.Module == nil || !p.Module.Main {
		return nil
	}
	var out []string
	for _, name := range slices.Concat(p.GoFiles, p.SFiles, p.EmbedFiles) {
		if rel, err := filepath.Rel(top, filepath.Join(p.Dir, name)); err == nil && filepath.IsLocal(rel) {
			out = append(out, rel)
		}
	}
	return out
}

// list asks the go command for the components' programs and everything they import.
func (t *Tree) list(ctx context.Context, components []Component) (map[string]goPackage, error) {
	args := []string{"list", "-deps", "-json=ImportPath,Dir,Deps,GoFiles,SFiles,EmbedFiles,Module"}
	text, err := t.goCommand(ctx, "", append(args, programs(components)...)...)
	if err != nil {
		return nil, err
	}
	out := map[string]goPackage{}
	for decoder := json.NewDecoder(strings.NewReader(text)); ; {
		var p goPackage
		if err := decoder.Decode(&p); err == io.EOF {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		out[p.ImportPath] = p
	}
}
