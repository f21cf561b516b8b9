// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// blocks are the indented or fenced command blocks of a document that hold a marker.
func blocks(t *testing.T, file, marker string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, part := range strings.Split(string(text), "\n```") {
		if i%2 == 1 && strings.Contains(part, marker) {
			_, commands, _ := strings.Cut(part, "\n")
			out = append(out, commands)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no block with %q", file, marker)
	}
	return out
}

// TestREADME runs what README.md tells a newcomer to type after `make up`, line by line, against a device.
func TestREADME(t *testing.T) {
	r := configured(t)
	env, err := r.WriteEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	readme := filepath.Join("..", "..", "README.md")
	for _, marker := range []string{". build/lab/env", "build/tools/gnmi_cli"} {
		for _, script := range blocks(t, readme, marker) {
			runBlock(t, env, script)
		}
	}
}

// runBlock runs a block with bash in the tree's root. A watch goes on until it is stopped, so it is.
func runBlock(t *testing.T, env, script string) {
	t.Helper()
	env, err := filepath.Abs(env)
	if err != nil {
		t.Fatal(err)
	}
	script = strings.ReplaceAll(script, ". build/lab/env", "")
	script = strings.ReplaceAll(script, "ashlar watch", "stopped ashlar watch")
	prelude := ". " + env + `
stopped() { timeout --preserve-status --signal INT 3 "$@" || test $? -eq 130; }
`
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-euxc", prelude+script)
	c.Dir = filepath.Join("..", "..")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}
