// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// programsDir keeps the linked programs below an output directory, named as the go command names them: it leaves alone what is
// up to date.
const programsDir = ".programs"

// Build makes out/<component>/ for each component: component.yaml, the program where run.command has it, and
// contracts/<contract>.yaml. Programs are compiled as a release is, whatever the environment says: no cgo, no paths, no
// version control stamp, no symbols. toolchain names a Go release, "go1.26.8" for example, or is empty for the one that is
// installed. What is up to date is left alone; a directory that is not changes in one step.
func (t *Tree) Build(ctx context.Context, out, toolchain string, components []Component) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	bin := filepath.Join(out, programsDir)
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", bin + "/"}
	if _, err := t.goCommand(ctx, toolchain, append(args, programs(components)...)...); err != nil {
		return err
	}
	for _, c := range components {
		if err := t.lay(c, filepath.Join(bin, filepath.Base(c.Dir)), filepath.Join(out, c.Name)); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return nil
}

func programs(components []Component) []string {
	var out []string
	for _, c := range components {
		out = append(out, "./"+c.Dir)
	}
	return out
}

// goCommand runs the go command in the tree and returns its output. An empty GOFLAGS also hides one set by `go env -w`.
func (t *Tree) goCommand(ctx context.Context, toolchain string, args ...string) (string, error) {
	pinned := []string{"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + runtime.GOARCH,
		"GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "PWD=" + t.dir}
	if toolchain != "" {
		pinned = append(pinned, "GOTOOLCHAIN="+toolchain)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = t.dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "GIT_") || slices.ContainsFunc(pinned, func(p string) bool { return strings.HasPrefix(p, name+"=") })
	}), pinned...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s in %s: %w: %s", args[0], t.dir, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// Toolchain returns the Go release that is installed, "go1.26.8" for example.
func (t *Tree) Toolchain(ctx context.Context) (string, error) {
	out, err := t.goCommand(ctx, "", "env", "GOVERSION")
	version, _, _ := strings.Cut(out, " ")
	return version, err
}
