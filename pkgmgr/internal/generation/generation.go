// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package generation reads a generation: a directory with one subdirectory for each component, which
// holds component.yaml and bin/. It checks that the set can work together and gives the start order.
// A Generation is not changed after Load.
package generation

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// apiSocket is the socket on which every component serves its contracts.
const apiSocket = "api"

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

// Load reads and checks dir. self is the supervisor's own manifest: it takes part in the checks and is not
// among the components. The error names every fault that was found, one a line.
func Load(dir string, self *manifest.Manifest) (*Generation, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("generation %s: %w", dir, err)
	}
	entries, err := os.ReadDir(abs)
	if err != nil {
		return nil, fmt.Errorf("generation: %w", err)
	}
	var components []Component
	var faults []error
	for _, e := range entries {
		if !isDirectory(abs, e) || e.Name() == self.Name || e.Name()[0] == '.' {
			continue
		}
		c, err := load(abs, e.Name())
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
		return nil, fmt.Errorf("generation %s: %w", abs, errors.Join(faults...))
	}
	g, err := arrange(components, self)
	if err != nil {
		return nil, fmt.Errorf("generation %s: %w", abs, err)
	}
	return g, nil
}

// isDirectory follows symbolic links, by which a generation may refer to versioned trees.
func isDirectory(dir string, e os.DirEntry) bool {
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}

func load(dir, name string) (Component, error) {
	tree, err := filepath.EvalSymlinks(filepath.Join(dir, name))
	if err != nil {
		return Component{}, err
	}
	m, err := manifest.Load(filepath.Join(tree, "component.yaml"))
	if err != nil {
		return Component{}, err
	}
	c := Component{Manifest: m, Tree: tree}
	if m.Name != name {
		return c, fmt.Errorf("directory %s holds the component %q: they must have the same name", name, m.Name)
	}
	if err := checkProgram(c); err != nil {
		return c, err
	}
	if api, ok := m.Socket(apiSocket); !ok || api.Unix == "" {
		return c, fmt.Errorf("%s: sockets: want a unix socket named %q, on which the component serves its contracts", name, apiSocket)
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

// Component returns a member by name.
func (g *Generation) Component(name string) (Component, bool) {
	i := slices.IndexFunc(g.Components, func(c Component) bool { return c.Name() == name })
	if i < 0 {
		return Component{}, false
	}
	return g.Components[i], true
}
