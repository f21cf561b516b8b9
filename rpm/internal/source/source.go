// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package source reads a checked-out tree of Ashlar, the current one or one of the past: which components it has, what each
// is made of, and how it becomes a directory that can be packed. The tree itself is never written to. A Tree is not changed
// after Open and may be used concurrently; two builds into one directory may not run side by side.
package source

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// Tree is a checked-out tree.
type Tree struct {
	dir        string // absolute, no links
	components []Component
}

// Component is one that the tree has.
type Component struct {
	*manifest.Manifest
	// Dir holds its main package and its manifest, relative to the tree.
	Dir string
}

// Open finds the components: each directory with a component.yaml, at most two levels down, as the house has them.
func Open(dir string) (*Tree, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return nil, err
	}
	t := &Tree{dir: dir}
	for _, pattern := range []string{"*/component.yaml", "*/*/component.yaml"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if err := t.add(file); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(t.components, func(a, b Component) int { return strings.Compare(a.Name, b.Name) })
	for i := range t.components[min(1, len(t.components)):] {
		if a, b := t.components[i], t.components[i+1]; a.Name == b.Name {
			return nil, fmt.Errorf("%s and %s both say that they are %s", a.Dir, b.Dir, a.Name)
		}
	}
	if len(t.components) == 0 {
		return nil, fmt.Errorf("%s holds no components: no */component.yaml, no */*/component.yaml", dir)
	}
	return t, nil
}

func (t *Tree) add(file string) error {
	rel, err := filepath.Rel(t.dir, filepath.Dir(file))
	if err != nil {
		return err
	}
	if top, _, _ := strings.Cut(rel, "/"); top == "build" || filepath.Base(rel) == "testdata" {
		return nil
	}
	m, err := manifest.Load(file)
	if err != nil {
		return err
	}
	t.components = append(t.components, Component{m, rel})
	return nil
}

// Select returns the components of these names, in their order; all when there are no names.
func (t *Tree) Select(names ...string) ([]Component, error) {
	if len(names) == 0 {
		return slices.Clone(t.components), nil
	}
	var out []Component
	for _, name := range names {
		i := slices.IndexFunc(t.components, func(c Component) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no component %q: the tree has %s", name, strings.Join(t.names(), ", "))
		}
		out = append(out, t.components[i])
	}
	return out, nil
}

func (t *Tree) names() []string {
	var out []string
	for _, c := range t.components {
		out = append(out, c.Name)
	}
	return out
}

// contracts returns the files that say what a component relies on, by contract, relative to the tree.
func (t *Tree) contracts(c Component) (map[string]string, error) {
	prefix := filepath.Join("compat-tests", "contracts", c.Name+"--")
	files, err := filepath.Glob(filepath.Join(t.dir, prefix+"*.yaml"))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, file := range files {
		rel, err := filepath.Rel(t.dir, file)
		if err != nil {
			return nil, err
		}
		out[strings.TrimPrefix(rel, prefix)] = rel
	}
	return out, nil
}
