// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package generation reads a generation: a directory with one subdirectory for each component, which
// holds component.yaml and bin/. It checks that the set can work together and gives the start order.
// A Generation is not changed after Load.
package generation

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

const (
	// apiSocket is the socket on which every component serves its contracts.
	apiSocket = "api"
	// lifecycleSocket is the name of the one on which the supervisor asks a process.
	lifecycleSocket = "lifecycle"
)

// Component is one member of a generation.
type Component struct {
	Manifest *manifest.Manifest
	// Tree is its directory, absolute.
	Tree string
	// After are the components that must have been ready before this one is started for the first time.
	After []string
}

// Name is the manifest's name.
func (c Component) Name() string { return c.Manifest.Name }

// Program is the path of the component's executable.
func (c Component) Program() string { return filepath.Join(c.Tree, c.Manifest.Run.Command[0]) }

// Digest is that of the package whose tree it is, "" when the tree is not one of a package.
func (c Component) Digest() string { return Digest(c.Tree) }

// digestForm is how the store names the tree of a package.
var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Digest reads a package's digest off the path of its tree, "" when the path has none.
func Digest(tree string) string {
	if base := filepath.Base(tree); digestForm.MatchString(base) {
		return base
	}
	return ""
}

// API is the component's socket for contracts.
func (c Component) API() manifest.Socket {
	s, _ := c.Manifest.Socket(apiSocket)
	return s
}

// Generation is the set, in start order: every component comes after those that it needs.
type Generation struct {
	Components []Component
	// Warnings are oddities that do not stop the device, in words.
	Warnings []string
}

// Choice is another tree for one component than the directory has.
type Choice struct {
	// Tree to run, "" for a component that was removed.
	Tree string
	// Instead is the tree that the directory must have for the choice to hold, "" for none.
	Instead string
}

// Load reads and checks dir. self is the supervisor's own manifest: it takes part in the checks and is not
// among the components. Choices that do not make a working set are dropped, all of them, with a warning. The
// error names every fault that was found, one a line.
func Load(dir string, self *manifest.Manifest, choices map[string]Choice) (*Generation, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("generation %s: %w", dir, err)
	}
	trees, err := list(abs, self.Name)
	if err != nil {
		return nil, fmt.Errorf("generation: %w", err)
	}
	if chosen := choose(trees, choices); !maps.Equal(chosen, trees) {
		g, err := read(abs, chosen, self)
		if err == nil {
			return g, nil
		}
		g, plain := read(abs, trees, self)
		if plain != nil {
			return nil, errors.Join(plain, err)
		}
		g.Warnings = append(g.Warnings, "the versions that were cut over to do not work together, the generation's are started: "+err.Error())
		return g, nil
	}
	return read(abs, trees, self)
}

// choose puts the choices that hold in the place of the directory's trees.
func choose(trees map[string]string, choices map[string]Choice) map[string]string {
	out := maps.Clone(trees)
	for name, c := range choices {
		if trees[name] != c.Instead {
			continue
		}
		if c.Tree == "" {
			delete(out, name)
		} else {
			out[name] = c.Tree
		}
	}
	return out
}

func read(dir string, trees map[string]string, self *manifest.Manifest) (*Generation, error) {
	var components []Component
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		c, err := LoadTree(trees[name], name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		components = append(components, c)
	}
	if len(components) == 0 && len(faults) == 0 {
		faults = append(faults, errors.New("there is no component in it"))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("generation %s: %w", dir, errors.Join(faults...))
	}
	g, err := arrange(components, self)
	if err != nil {
		return nil, fmt.Errorf("generation %s: %w", dir, err)
	}
	return g, nil
}

// list finds the trees of a directory by component. A generation may refer to versioned trees by symbolic links.
func list(dir, self string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	trees := map[string]string{}
	for _, e := range entries {
		if !isDirectory(dir, e) || e.Name() == self || e.Name()[0] == '.' {
			continue
		}
		if trees[e.Name()], err = filepath.EvalSymlinks(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return trees, nil
}

// TreeOf returns the tree that dir has for a component now, "" when it has none.
func TreeOf(dir, component string) string {
	tree, err := filepath.EvalSymlinks(filepath.Join(dir, component))
	if err != nil {
		return ""
	}
	return tree
}

// isDirectory follows symbolic links, by which a generation may refer to versioned trees.
func isDirectory(dir string, e os.DirEntry) bool {
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}

// LoadTree reads and checks the tree of one component by itself.
func LoadTree(tree, name string) (Component, error) {
	m, err := manifest.Load(filepath.Join(tree, "component.yaml"))
	if err != nil {
		return Component{}, err
	}
	c := Component{Manifest: m, Tree: tree}
	if m.Name != name {
		return c, fmt.Errorf("directory %s holds the component %q, and %q is wanted: they must have the same name", tree, m.Name, name)
	}
	if err := checkProgram(c); err != nil {
		return c, err
	}
	if api, ok := m.Socket(apiSocket); !ok || api.Unix == "" {
		return c, fmt.Errorf("%s: sockets: want a unix socket named %q, on which the component serves its contracts", name, apiSocket)
	}
	if _, ok := m.Socket(lifecycleSocket); ok {
		return c, fmt.Errorf("%s: sockets: the name %q is the supervisor's to give", name, lifecycleSocket)
	}
	if m.Handover == manifest.ReExec {
		return c, fmt.Errorf("%s: handover: only the supervisor can do %q", name, m.Handover)
	}
	if _, err := process.Capabilities(m.Capabilities); err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func checkProgram(c Component) error {
	info, err := os.Stat(c.Program())
	if err != nil {
		return fmt.Errorf("%s: run.command: %w", c.Name(), err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o001 == 0 {
		return fmt.Errorf("%s: run.command: %s (mode %v) is not a program that every user may run", c.Name(), c.Program(), info.Mode())
	}
	return nil
}

// arrange checks the edges and sorts.
func arrange(components []Component, self *manifest.Manifest) (*Generation, error) {
	g := &Generation{Components: components}
	e := newEdges(components, self)
	faults := append(e.checkProviders(), e.checkSockets()...)
	for i := range g.Components {
		after, bad := e.after(g.Components[i].Manifest)
		g.Components[i].After = after
		faults = append(faults, bad...)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	g.Warnings = e.warnings()
	sorted, err := sortByStart(g.Components)
	if err != nil {
		return nil, err
	}
	g.Components = sorted
	return g, nil
}

// Fit checks a component that is to join a running set or to take the place of its namesake there, and returns it
// with what it is started after. An error says what it would break at once; warnings are requirements that would not be
// met, which are for those to judge who know where the set is going.
func Fit(c Component, running []Component, self *manifest.Manifest) (Component, []string, error) {
	set := []Component{c}
	for _, r := range running {
		if r.Name() != c.Name() {
			set = append(set, r)
		}
	}
	e := newEdges(set, self)
	if faults := append(e.checkProviders(), e.checkSockets()...); len(faults) > 0 {
		return c, nil, errors.Join(faults...)
	}
	var warnings []string
	for i := range set {
		after, bad := e.after(set[i].Manifest)
		if i == 0 {
			c.After = after
		}
		for _, b := range bad {
			warnings = append(warnings, b.Error())
		}
	}
	return c, warnings, nil
}

// Dependants names the members of a running set that cannot be without what a component provides.
func Dependants(name string, running []Component, self *manifest.Manifest) []string {
	e := newEdges(running, self)
	var out []string
	for _, c := range running {
		for _, q := range c.Manifest.Requires {
			provider, ok := e.roster.Provider(q.Contract)
			if ok && provider.Name == name && !q.Optional && c.Name() != name {
				out = append(out, fmt.Sprintf("%s requires %s", c.Name(), q.Contract))
			}
		}
	}
	return out
}

// Component returns a member by name.
func (g *Generation) Component(name string) (Component, bool) {
	i := slices.IndexFunc(g.Components, func(c Component) bool { return c.Name() == name })
	if i < 0 {
		return Component{}, false
	}
	return g.Components[i], true
}
