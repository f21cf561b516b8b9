// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package faulty

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// component is one of the source tree.
type component struct {
	*manifest.Manifest
	// dir holds its main package, relative to the tree.
	dir  string
	text []byte
}

func (m Maker) component(name string) (component, error) {
	var names []string
	for _, pattern := range []string{"*/component.yaml", "*/*/component.yaml"} {
		files, err := filepath.Glob(filepath.Join(m.Root, pattern))
		if err != nil {
			return component{}, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return component{}, err
			}
			parsed, err := manifest.Parse(text)
			if err != nil {
				return component{}, fmt.Errorf("%s: %w", file, err)
			}
			if parsed.Name == name {
				dir, err := filepath.Rel(m.Root, filepath.Dir(file))
				return component{parsed, dir, text}, err
			}
			names = append(names, parsed.Name)
		}
	}
	return component{}, fmt.Errorf("there is no such component: %s has %s", m.Root, strings.Join(names, ", "))
}

// tree makes the directory that is packed.
func (m Maker) tree(ctx context.Context, spec Spec) (string, error) {
	c, err := m.component(spec.Component)
	if err != nil {
		return "", err
	}
	inside, outside, err := c.rewrite(spec)
	if err != nil {
		return "", err
	}
	dir, err := filepath.Abs(filepath.Join(m.Work, "trees", fmt.Sprintf("%s-%s-%s", spec.Component, spec.Version, spec.Kind)))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "component.yaml"), outside, 0o644); err != nil {
		return "", err
	}
	if err := m.contracts(spec.Component, dir); err != nil {
		return "", err
	}
	return dir, m.programs(ctx, spec.Kind, c, inside, dir)
}

// contracts copies what the component relies on.
func (m Maker) contracts(component, dir string) error {
	prefix := filepath.Join(m.Root, "compat-tests", "contracts", component+"--")
	files, err := filepath.Glob(prefix + "*.yaml")
	if err != nil {
		return err
	}
	to := filepath.Join(dir, "contracts")
	if err := os.RemoveAll(to); err != nil || len(files) == 0 {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, strings.TrimPrefix(file, prefix)), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// programs compiles what a kind runs: the real program, the shim in front of it, or the impostor.
func (m Maker) programs(ctx context.Context, kind Kind, c component, inside []byte, dir string) error {
	program := filepath.Join(dir, c.Run.Command[0])
	embedded := filepath.Join(c.dir, "component.yaml")
	switch {
	case kind == Idle:
		return m.compile(ctx, program, "lab/faulty/impostor", map[string][]byte{"lab/faulty/impostor/manifest.yaml": inside})
	case kind == CrashAtStart, kind == Hang:
		return m.compile(ctx, program, "lab/faulty/shim", nil)
	case shimmed(kind):
		return errors.Join(m.compile(ctx, program, "lab/faulty/shim", nil),
			m.compile(ctx, program+realSuffix, c.dir, map[string][]byte{embedded: inside}))
	}
	return m.compile(ctx, program, c.dir, map[string][]byte{embedded: inside})
}

// realSuffix is appended to the name of a program that the shim starts.
const realSuffix = ".real"

// shimmed kinds are the real program with the shim in front of it.
func shimmed(kind Kind) bool { return slices.Contains([]Kind{Crash, Stall, Leak}, kind) }

// compile builds a package of the tree as a release is built, with other contents for some of its files. The go command leaves
// alone what is up to date.
func (m Maker) compile(ctx context.Context, out, dir string, replace map[string][]byte) error {
	root, err := filepath.Abs(m.Root)
	if err != nil {
		return err
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", out}
	if len(replace) > 0 {
		overlay, err := m.overlay(root, replace)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+dir)...)
	cmd.Dir = root
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PWD=") }), "PWD="+root, "CGO_ENABLED=0", "GOFLAGS=")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./%s: %w: %s", dir, err, bytes.TrimSpace(said))
	}
	return nil
}

// overlay writes what `go build -overlay` reads: files of the tree, and where their contents are instead. The same contents
// are always in the same place, or the go command would take them for others.
func (m Maker) overlay(root string, replace map[string][]byte) (string, error) {
	work, err := filepath.Abs(m.Work)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(replace)) {
		fmt.Fprintf(sum, "%q %q\n", name, replace[name])
	}
	dir := filepath.Join(work, "overlays", hex.EncodeToString(sum.Sum(nil)))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for name, text := range replace {
		file := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(root, name)] = file
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, text, 0o644)
}
