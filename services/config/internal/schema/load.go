// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/openconfig/goyang/pkg/yang"
)

// Load compiles every *.yang file at the top of the sources. It reads nothing else: an import that is in none of them is
// an error. The error lists everything that is wrong.
func Load(sources ...fs.FS) (*Model, error) {
	set := yang.NewModules()
	if err := parse(set, sources); err != nil {
		return nil, err
	}
	if err := checkImports(set); err != nil {
		return nil, err
	}
	if errs := set.Process(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	c := newCompiler(set)
	return c.model, errors.Join(c.compile()...)
}

func parse(set *yang.Modules, sources []fs.FS) error {
	for _, source := range sources {
		files, err := fs.Glob(source, "*.yang")
		if err != nil {
			return fmt.Errorf("listing YANG files: %w", err)
		}
		for _, file := range files {
			text, err := fs.ReadFile(source, file)
			if err != nil {
				return fmt.Errorf("reading YANG: %w", err)
			}
			if err := set.Parse(string(text), file); err != nil {
				return fmt.Errorf("parsing YANG: %w", err)
			}
		}
	}
	return nil
}

// checkImports keeps the library from looking for missing modules in the working directory.
func checkImports(set *yang.Modules) error {
	for _, m := range sorted(set) {
		for _, i := range m.Import {
			if set.Modules[i.Name] == nil {
				return fmt.Errorf("module %s imports %s, which is not there", m.Name, i.Name)
			}
		}
		for _, i := range m.Include {
			if set.SubModules[i.Name] == nil {
				return fmt.Errorf("module %s includes %s, which is not there", m.Name, i.Name)
			}
		}
	}
	return nil
}

// sorted are the modules by name, each once.
func sorted(set *yang.Modules) []*yang.Module {
	byName := map[string]*yang.Module{}
	for _, m := range set.Modules {
		byName[m.Name] = m
	}
	var all []*yang.Module
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, byName[name])
	}
	return all
}

func newModule(m *yang.Module) *Module {
	out := &Module{Name: m.Name}
	if m.Namespace != nil {
		out.Namespace = m.Namespace.Name
	}
	if m.Prefix != nil {
		out.Prefix = m.Prefix.Name
	}
	if m.Organization != nil {
		out.Organization = m.Organization.Name
	}
	for _, r := range m.Revision {
		out.Version = max(out.Version, r.Name)
	}
	for _, x := range m.Extensions {
		if _, name, ok := strings.Cut(x.Keyword, ":"); ok && name == "openconfig-version" {
			out.Version = x.Argument
		}
	}
	return out
}
