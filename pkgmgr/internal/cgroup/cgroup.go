// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package cgroup bounds components with control groups: processor shares, memory and number of tasks,
// cgroups(7). It uses the version 1 hierarchies where the host mounts them and version 2 otherwise.
//
// The groups are <controller>/ashlar/<instance>/<component>. A host without a controller is no error:
// the limit is not enforced, and Missing says so. The package holds no locks; one goroutine uses a Group,
// except that EnterThread may run on any thread.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// controllerNames are the controllers that the supervisor asks for. pids is first: it is the one that
// lists a group's processes most cheaply.
func controllerNames() []string { return []string{"pids", "memory", "cpu"} }

// Limits bound one group; zero means unbounded.
type Limits struct {
	MemoryBytes uint64
	Tasks       uint64
	// CPUShares are relative weights as version 1 counts them; 1024 is the default.
	CPUShares uint64
}

// Manager makes the groups of one device.
type Manager struct {
	// device is the path of the device's group below every hierarchy.
	device string
	mounts mounts
}

// Open finds the host's hierarchies. device is a relative path, for example "ashlar/default".
func Open(device string) (*Manager, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("control groups: %w", err)
	}
	return &Manager{device: device, mounts: parseMounts(string(b))}, nil
}

// Missing lists the controllers that the host does not offer.
func (m *Manager) Missing() []string {
	var out []string
	for _, c := range controllerNames() {
		if m.mounts.v1[c] == "" && !m.mounts.offers(c) {
			out = append(out, c)
		}
	}
	return out
}

// hierarchies are the mount points that groups are made in.
func (m *Manager) hierarchies() map[string]string {
	out := map[string]string{}
	for _, c := range controllerNames() {
		if dir := m.mounts.v1[c]; dir != "" {
			out[c] = dir
		}
	}
	if len(out) == 0 && m.mounts.v2 != "" {
		out[unified] = m.mounts.v2
	}
	return out
}

// Group makes the component's group, or opens the one that is there. The caller closes it.
func (m *Manager) Group(component string) (*Group, error) {
	g := &Group{dirs: map[string]string{}}
	for name, mount := range m.hierarchies() {
		dir := filepath.Join(mount, m.device, component)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("control group: %w", err)
		}
		g.dirs[name] = dir
		m.raiseShares(name, mount)
	}
	if dir, ok := g.dirs[unified]; ok {
		m.mounts.delegate(filepath.Dir(dir))
		f, err := os.Open(dir)
		if err != nil {
			return nil, fmt.Errorf("control group: %w", err)
		}
		g.directory = f
	}
	return g, nil
}

// deviceShares is the weight of the groups above the components'. A group competes with single processes
// outside, so one weight of 1024 for a whole device would starve it beside a few busy ones.
const deviceShares = 10240

// raiseShares gives the device's groups their weight. It is no error where that is not possible.
func (m *Manager) raiseShares(controller, mount string) {
	for d := m.device; d != "."; d = filepath.Dir(d) {
		for file, value := range settings(controller, Limits{CPUShares: deviceShares}) {
			if strings.HasPrefix(file, "cpu.") {
				os.WriteFile(filepath.Join(mount, d, file), []byte(value), 0)
			}
		}
	}
}

// Components lists the groups that exist for the device.
func (m *Manager) Components() []string {
	seen := map[string]bool{}
	var out []string
	for _, mount := range m.hierarchies() {
		entries, err := os.ReadDir(filepath.Join(mount, m.device))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() && !seen[e.Name()] {
				seen[e.Name()] = true
				out = append(out, e.Name())
			}
		}
	}
	return out
}

// Remove removes the device's own groups, after those of its components have been removed. Groups of
// other devices stay.
func (m *Manager) Remove() error {
	var first error
	for _, mount := range m.hierarchies() {
		err := removeGroup(filepath.Join(mount, m.device))
		if err != nil && first == nil {
			first = err
		}
		// The parent is shared by all devices: it goes with the last of them.
		os.Remove(filepath.Join(mount, filepath.Dir(m.device)))
	}
	return first
}

// removeGroup removes one group. A group whose last thread is just ending is busy for a moment.
func removeGroup(dir string) error {
	err := retryBusy(func() error { return os.Remove(dir) })
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("control group: %w", err)
	}
	return nil
}
