// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package generation_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// place writes one component's tree and returns its path.
func place(t *testing.T, tree, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(tree, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{"component.yaml": text, "bin/" + name + "d": ""} {
		if err := os.WriteFile(filepath.Join(tree, file), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func TestChoices(t *testing.T) {
	dir := t.TempDir()
	digest := strings.Repeat("ab", 32)
	a := place(t, filepath.Join(dir, "g/a"), "a", head("a", "provides: [{contract: test.a.v1, level: 1}]\n"))
	place(t, filepath.Join(dir, "g/b"), "b", head("b", "requires: [{contract: test.a.v1, levels: {min: 1}}]\n"))
	next := place(t, filepath.Join(dir, digest), "a", head("a", "provides: [{contract: test.a.v1, level: 2}]\n"))
	more := place(t, filepath.Join(dir, "more"), "c", head("c", ""))
	m, err := manifest.Parse([]byte(self))
	if err != nil {
		t.Fatal(err)
	}
	for desc, test := range map[string]struct {
		choices  map[string]generation.Choice
		tree     string
		members  int
		warnings int
	}{
		"none":                         {nil, a, 2, 0},
		"another version":              {map[string]generation.Choice{"a": {Tree: next, Instead: a}}, next, 2, 0},
		"of an earlier generation":     {map[string]generation.Choice{"a": {Tree: next, Instead: "/elsewhere"}}, a, 2, 0},
		"one that joined":              {map[string]generation.Choice{"c": {Tree: more}}, a, 3, 0},
		"one that was removed":         {map[string]generation.Choice{"b": {Instead: filepath.Join(dir, "g/b")}}, a, 1, 0},
		"one that leaves another bare": {map[string]generation.Choice{"a": {Instead: a}}, a, 2, 1},
		"a tree that is gone":          {map[string]generation.Choice{"a": {Tree: "/nowhere", Instead: a}}, a, 2, 1},
	} {
		g, err := generation.Load(filepath.Join(dir, "g"), m, test.choices)
		if err != nil {
			t.Errorf("%s: %v", desc, err)
			continue
		}
		c, _ := g.Component("a")
		if c.Tree != test.tree || len(g.Components) != test.members || len(g.Warnings) != test.warnings {
			t.Errorf("%s: a runs from %s, %d members, warnings %q", desc, c.Tree, len(g.Components), g.Warnings)
		}
	}
	if generation.Digest(next) != digest || generation.Digest(a) != "" {
		t.Errorf("digests %q and %q", generation.Digest(next), generation.Digest(a))
	}
}
