// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package yard

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A package changes with what it is made of, and with nothing else.
func TestTimeOfBuild(t *testing.T) {
	s := newScratch(t)
	first := s.pack()
	if first["alpha"].Built != s.when || first["beta"].Built != s.when {
		t.Errorf("built at %d and %d, the commit is of %d", first["alpha"].Built, first["beta"].Built, s.when)
	}
	last := first
	for _, tt := range []struct {
		desc, file, text string
		changes          []string
	}{
		{"a document", "README.md", "read me\n", nil},
		{"a document of a component", "services/alpha/README.md", "read me\n", nil},
		{"a test", "shared/is_test.go", "package shared\n", nil},
		{"a component's own file", "services/alpha/more.go", "package main\n\nvar _ = 1\n", []string{"alpha"}},
		{"what both import", "shared/is.go", "package shared\n\nconst Is = 2\n", []string{"alpha", "beta"}},
		{"what one imports", "second/only.go", "package second\n\nconst Only = 2\n", []string{"beta"}},
		{"a contract file", "compat-tests/contracts/beta--acme.alpha.v1.yaml", "level: 2\n", []string{"beta"}},
		{"what nobody imports", "third/x.go", "package third\n", nil},
		{"the module file", "go.mod", "module example.com/house\n\ngo 1.26.0\n// more\n", []string{"alpha", "beta"}},
	} {
		s.write(tt.file, tt.text)
		s.commit(tt.desc)
		now := s.pack()
		var changed []string
		for name, p := range now {
			if p.Digest != last[name].Digest {
				changed = append(changed, name)
			}
			if fresh := p.Digest != last[name].Digest; p.Fresh != fresh || fresh && p.Built != s.when {
				t.Errorf("%s: %s: fresh %t, built at %d, the commit is of %d", tt.desc, name, p.Fresh, p.Built, s.when)
			}
		}
		slices.Sort(changed)
		if !slices.Equal(changed, tt.changes) {
			t.Errorf("%s: changed %v, want %v", tt.desc, changed, tt.changes)
		}
		last = now
	}
}

func TestPackTree(t *testing.T) {
	s := newScratch(t)
	first := s.pack()
	index := filepath.Join(s.yard.Repository, "repodata", "repomd.xml")
	before, err := os.Stat(index)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"keys/yard.asc", "evidence", "repodata/repomd.xml.asc"} {
		if _, err := os.Stat(filepath.Join(s.yard.Repository, name)); err != nil {
			t.Error(err)
		}
	}
	tree, err := os.Stat(filepath.Join(s.yard.TreesDir(), "beta"))
	if err != nil {
		t.Fatal(err)
	}
	s.pack()
	if after, err := os.Stat(index); err != nil || !os.SameFile(before, after) {
		t.Errorf("a second run wrote the metadata again: %v", err)
	}
	if now, err := os.Stat(filepath.Join(s.yard.TreesDir(), "beta")); err != nil || !os.SameFile(tree, now) {
		t.Errorf("a second run made the directory again: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.yard.TreesDir(), "beta", "contracts", "acme.alpha.v1.yaml")); err != nil {
		t.Error(err)
	}

	t.Run("a package that was changed is made again", func(t *testing.T) {
		file := filepath.Join(s.yard.Repository, first["alpha"].FileName())
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("x"); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if again := s.pack(); !again["alpha"].Fresh || again["beta"].Fresh || again["alpha"].Digest != first["alpha"].Digest {
			t.Errorf("got %+v", again)
		}
	})
	t.Run("what is neither the tree's nor released goes", func(t *testing.T) {
		s.raise("alpha", "1.0.0", "1.1.0")
		s.pack()
		if got := slices.Sorted(maps.Keys(s.files())); !slices.Equal(got, []string{"alpha 1.1.0", "beta 1.0.0"}) {
			t.Errorf("the repository has %v", got)
		}
	})
}

func TestShallowClone(t *testing.T) {
	s := newScratch(t)
	s.write("README.md", "more\n")
	s.commit("more")
	clone := filepath.Join(t.TempDir(), "clone")
	if out, err := exec.Command("git", "clone", "--quiet", "--depth", "1", "file://"+s.dir, clone).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	shallow := *s.yard
	shallow.Root = clone
	if _, err := shallow.PackTree(context.Background()); err == nil || !strings.Contains(err.Error(), "git fetch --unshallow") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownComponent(t *testing.T) {
	s := newScratch(t)
	if _, err := s.yard.Times(context.Background(), "gamma"); err == nil || !strings.Contains(err.Error(), `no component "gamma": the tree has alpha, beta`) {
		t.Errorf("got %v", err)
	}
}
