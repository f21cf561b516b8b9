// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package layout says where a device keeps its files, sockets and pins.
//
// Everything hangs below one root, so that many devices run on one machine, each in its own directory.
// A Layout is a value; its methods touch no file.
package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
)

// EnvRoot names the environment variable that carries the root to every process of a device.
const EnvRoot = "ASHLAR_ROOT"

// maxSocketPath is the room for a unix socket's path in struct sockaddr_un, its closing zero excluded.
const maxSocketPath = 107

// longestSocket is the longest socket name that the layout leaves room for.
const longestSocket = "interfaces.metrics.sock"

// Layout locates one device.
type Layout struct {
	// Root is absolute and clean; "/" is the machine itself.
	Root string
	// Instance tells devices on one machine apart, where a name cannot be placed below Root: "default" for "/".
	Instance string
}

// New returns the layout below root; "" means "/". It fails when the socket paths would be longer than
// the kernel takes.
func New(root string) (Layout, error) {
	if root == "" {
		root = "/"
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		return Layout{}, fmt.Errorf("root %q: %w", root, err)
	}
	l := Layout{Root: abs, Instance: instance(abs)}
	if n := len(l.Socket(longestSocket)); n > maxSocketPath {
		return Layout{}, fmt.Errorf("root %q is too long: its sockets' paths would have %d bytes and the kernel takes %d; choose a directory with a shorter path", abs, n, maxSocketPath)
	}
	return l, nil
}

func instance(root string) string {
	if root == "/" {
		return "default"
	}
	sum := sha256.Sum256([]byte(root))
	return plain(filepath.Base(root)) + "-" + hex.EncodeToString(sum[:4])
}

// plain keeps what is safe in the name of a control group or a directory.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, s)
}

// StateDir holds what outlives a reboot.
func (l Layout) StateDir() string { return filepath.Join(l.Root, "var/lib/ashlar") }

// ComponentState is the component's own directory in StateDir.
func (l Layout) ComponentState(component string) string {
	return filepath.Join(l.StateDir(), component)
}

// RunDir holds sockets and what a reboot forgets.
func (l Layout) RunDir() string { return filepath.Join(l.Root, "run/ashlar") }

// Socket is the path of a unix socket by its file name.
func (l Layout) Socket(file string) string { return filepath.Join(l.RunDir(), file) }

// LogDir holds one log file for each component.
func (l Layout) LogDir() string { return filepath.Join(l.Root, "var/log/ashlar") }

// LogFile is the component's log.
func (l Layout) LogFile(component string) string { return filepath.Join(l.LogDir(), component+".log") }

// PinDir is where the dataplane pins its programs and maps. It is on the BPF file system, which is not
// relocatable; the instance keeps devices apart.
func (l Layout) PinDir() string { return filepath.Join("/sys/fs/bpf/ashlar", l.Instance) }

// ControlGroup is the path of the device's control group below a controller's mount.
func (l Layout) ControlGroup() string { return filepath.Join("ashlar", l.Instance) }

// Roster is the file that says who is on the device.
func (l Layout) Roster() string { return filepath.Join(l.RunDir(), "roster.json") }

// DescriptorSocket is where components return their listening sockets to a new supervisor.
func (l Layout) DescriptorSocket() string { return l.Socket("supervisor.fds.sock") }

// Init is the file in which `ashlar init` lists ports and management interfaces.
func (l Layout) Init() string { return filepath.Join(l.StateDir(), "init.json") }
