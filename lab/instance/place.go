// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package instance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// elsewhere is where a device lives whose lab directory will not do.
const elsewhere = "/var/tmp"

// place is where a lab keeps its things.
type place struct {
	// directory belongs to the lab: build/lab/<name>. home holds the device: the same, or a directory
	// below elsewhere that directory/device then leads to.
	directory, home string
	// identity tells the lab from every other on the machine, of other trees too.
	identity string
}

func placeOf(build, name string) (place, error) {
	directory, err := filepath.Abs(filepath.Join(build, "lab", name))
	if err != nil {
		return place{}, err
	}
	sum := sha256.Sum256([]byte(directory))
	p := place{directory: directory, identity: name + "-" + hex.EncodeToString(sum[:3])}
	p.home = directory
	if _, err := layout.New(p.root()); err != nil || !open(build) {
		p.home = filepath.Join(elsewhere, "ashlar-lab-"+p.identity)
	}
	return p, nil
}

// root is the device's root.
func (p place) root() string { return filepath.Join(p.home, "device") }

func (p place) record() string   { return filepath.Join(p.directory, "lab.json") }
func (p place) env() string      { return filepath.Join(p.directory, "env") }
func (p place) hostname() string { return filepath.Join(p.home, "uts") }
func (p place) log() string      { return filepath.Join(p.directory, "supervisor.log") }
func (p place) password() string { return filepath.Join(p.directory, "password") }

// isElsewhere: the device is not in the lab's own directory.
func (p place) isElsewhere() bool { return p.home != p.directory }

// open says whether every user may enter a directory. Components run as users of their own, so a tree
// below a private home directory is closed to them.
func open(directory string) bool {
	path, err := filepath.Abs(directory)
	if err != nil {
		return false
	}
	for ; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if path == filepath.Dir(path) {
			return true
		}
	}
}

// prepare makes the directories, and returns the generation to run: the one that was built, or a copy
// beside the device if nobody but root could run that.
func (p place) prepare(generation string) (string, error) {
	if p.isElsewhere() {
		// Anybody may write there: what exists already is not ours.
		if err := os.Mkdir(p.home, 0o755); err != nil {
			return "", fmt.Errorf("place for the device: %w", err)
		}
	}
	for _, directory := range []string{p.directory, p.root()} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return "", err
		}
	}
	if !p.isElsewhere() {
		return generation, nil
	}
	if err := os.Symlink(p.root(), filepath.Join(p.directory, "device")); err != nil {
		return "", err
	}
	if open(generation) {
		return generation, nil
	}
	copied := filepath.Join(p.home, "generation")
	if err := copyGeneration(generation, copied); err != nil {
		return "", fmt.Errorf("copy the generation to where components can run it: %w", err)
	}
	return copied, nil
}

// copyGeneration copies every component's tree, also one that the generation only links to.
func copyGeneration(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		tree, err := filepath.EvalSymlinks(filepath.Join(from, entry.Name()))
		if err == nil {
			err = copyTree(tree, filepath.Join(to, entry.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies files with their modes, whatever the umask.
func copyTree(from, to string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := os.Stat(filepath.Join(from, path[len(to):]))
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode().Perm())
	})
}

// remove takes away everything that prepare and the device made.
func (p place) remove() error {
	if p.isElsewhere() {
		if err := os.RemoveAll(p.home); err != nil {
			return err
		}
	}
	return os.RemoveAll(p.directory)
}
