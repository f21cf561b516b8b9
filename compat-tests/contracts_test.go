// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package compat holds no code: the tests beside this comment keep the contract files right.
package compat

import (
	"encoding/hex"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/compat-tests/internal/contract"
	declared "github.com/ashlar-nos/ashlar/services/kit/contract"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

var rewrite = flag.Bool("rewrite", false, "write the digests of the declarations into the contract files")

var digestLine = regexp.MustCompile(`(?m)^descriptor: .*$`)

// files are the contract files by consumer and contract.
func files(t *testing.T) map[string]*contract.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("contracts", "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no contract files: %v", err)
	}
	out := map[string]*contract.File{}
	for _, path := range paths {
		f, err := contract.Load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		if name != f.Consumer+"--"+f.Contract {
			t.Errorf("%s is of %s for %s", path, f.Consumer, f.Contract)
		}
		out[name] = f
	}
	return out
}

// The digest in a file is that of the declarations of today, so that H covers both.
func TestDescriptors(t *testing.T) {
	for name, f := range files(t) {
		digest := declared.Digest(f.Contract)
		want := hex.EncodeToString(digest[:])
		if f.Descriptor == want {
			continue
		}
		if !*rewrite {
			t.Errorf("%s has the digest of other declarations: run `go test ./compat-tests -run Descriptors -rewrite`", name)
			continue
		}
		path := filepath.Join("contracts", name+".yaml")
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, digestLine.ReplaceAll(text, []byte(`descriptor: "`+want+`"`)), 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// Every requirement of every manifest has its contract file, at the level that it asks for, and there is no other.
func TestEveryEdgeHasAFile(t *testing.T) {
	have := files(t)
	want := map[string]bool{}
	for _, pattern := range []string{"../services/*/component.yaml", "../dataplane/component.yaml", "../pkgmgr/*/component.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			m, err := manifest.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range m.Requires {
				name := m.Name + "--" + r.Contract
				want[name] = true
				switch f := have[name]; {
				case f == nil:
					t.Errorf("%s requires %s and there is no compat-tests/contracts/%s.yaml", m.Name, r.Contract, name)
				case f.Level != r.Levels.Min:
					t.Errorf("%s is for level %d, the manifest requires %s", name, f.Level, r.Levels)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if !want[name] {
			t.Errorf("%s belongs to no requirement", name)
		}
	}
}
