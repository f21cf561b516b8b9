// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package ashlar holds no code: the tests beside this comment keep the rules of the house, so that a change
// which breaks one fails.
package ashlar

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

const module = "github.com/ashlar-nos/ashlar/"

// sourceFiles returns the tree's files with one of the endings, without what is built and the tools' own module.
func sourceFiles(t *testing.T, endings ...string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (path == "build" || path == ".git" || path == "tools") {
			return filepath.SkipDir
		}
		if !d.IsDir() && slices.Contains(endings, filepath.Ext(path)) {
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func generated(text []byte) bool {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	return bytes.Contains(first, []byte("Code generated"))
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestLicenceHeader(t *testing.T) {
	for _, file := range sourceFiles(t, ".go", ".c", ".h", ".proto", ".sh", ".yang") {
		text := read(t, file)
		if generated(text) || bytes.Contains(text[:min(len(text), 400)], []byte("Code generated")) {
			continue
		}
		if !bytes.Contains(text[:min(len(text), 400)], []byte("SPDX-License-Identifier: ")) {
			t.Errorf("%s lacks the licence header", file)
		}
	}
}

func TestPackageComments(t *testing.T) {
	documented := map[string]bool{}
	for _, file := range sourceFiles(t, ".go") {
		if strings.HasSuffix(file, "_test.go") && filepath.Dir(file) != "." {
			continue
		}
		dir := filepath.Dir(file)
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		documented[dir] = documented[dir] || f.Doc != nil || generated(read(t, file))
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// room is the part of the tree that a file belongs to: services may share contracts and the kit, nothing else.
func room(path string) string {
	parts := strings.Split(path, "/")
	if parts[0] == "services" && len(parts) > 1 {
		return "services/" + parts[1]
	}
	return parts[0]
}

// mayImport says which rooms a room may import besides its own.
func mayImport(from, to string) bool {
	if to == "proto" {
		return true
	}
	switch {
	case from == "proto", from == "services/kit":
		return false
	case strings.HasPrefix(from, "services/"), from == "dataplane", from == "cli":
		return to == "services/kit"
	case from == "pkgmgr", from == "lab":
		return to == "services/kit" || to == "rpm"
	case from == "bench":
		return to == "services/kit" || to == "lab" || to == "dataplane"
	case from == "compat-tests":
		return to == "services/kit" || to == "rpm" || to == "lab"
	}
	return to == "services/kit"
}

func TestImports(t *testing.T) {
	for _, file := range sourceFiles(t, ".go") {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		from := room(filepath.ToSlash(file))
		for _, spec := range f.Imports {
			path, own := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
			to := room(path)
			if to == "lab" && strings.HasSuffix(file, "_test.go") {
				continue // its networks are there for every room's tests
			}
			if own && to != from && !mayImport(from, to) {
				t.Errorf("%s imports %s: %s knows contracts and the kit, not %s", file, path, from, to)
			}
		}
	}
}

func TestNoInitNoExit(t *testing.T) {
	for _, file := range sourceFiles(t, ".go") {
		text := read(t, file)
		if generated(text) || strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function: wire explicitly", file)
			}
		}
		if bytes.Contains(text, []byte("os.Exit(")) && filepath.Base(file) != "main.go" {
			t.Errorf("%s calls os.Exit: only a main may", file)
		}
	}
}

func manifests(t *testing.T) map[string]*manifest.Manifest {
	t.Helper()
	out := map[string]*manifest.Manifest{}
	for _, file := range sourceFiles(t, ".yaml") {
		if filepath.Base(file) != "component.yaml" || strings.Contains(file, "testdata") {
			continue
		}
		m, err := manifest.Load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		out[filepath.Dir(file)] = m
	}
	return out
}

func TestEveryComponentIsWhole(t *testing.T) {
	for dir, m := range manifests(t) {
		for _, name := range []string{"main.go", "README.md", "CHANGELOG.md"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				// The supervisor's main lies below its room.
				if _, above := os.Stat(filepath.Join(dir, "..", name)); above != nil {
					t.Errorf("component %s lacks %s", m.Name, filepath.Join(dir, name))
				}
			}
		}
		if lines := bytes.Count(read(t, filepath.Join(dir, "main.go")), []byte("\n")); lines > 60 {
			t.Errorf("%s/main.go has %d lines: a main names things, it does not do them", dir, lines)
		}
	}
}

func TestEveryRequirementIsMet(t *testing.T) {
	level := map[string]uint32{}
	for _, m := range manifests(t) {
		for _, p := range m.Provides {
			level[p.Contract] = p.Level
		}
	}
	for _, m := range manifests(t) {
		for _, r := range m.Requires {
			if have, ok := level[r.Contract]; !ok || !r.Levels.Contains(have) {
				t.Errorf("%s requires %s %s; the tree has level %d", m.Name, r.Contract, r.Levels, have)
			}
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)

func TestLinksInDocuments(t *testing.T) {
	for _, file := range sourceFiles(t, ".md") {
		for _, m := range link.FindAllSubmatch(read(t, file), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), string(m[1]))); err != nil {
				t.Errorf("%s links to %s, which is not there", file, m[1])
			}
		}
	}
}

func TestTopLevel(t *testing.T) {
	// What may stand at the top, as ARCHITECTURE.md has it.
	known := strings.Fields(`proto services pkgmgr dataplane compat-tests rpm buf.yaml Makefile go.mod go.sum README.md
		ARCHITECTURE.md CHANGELOG.md LICENSE cli lab bench docs tools house_test.go .ci .git .gitignore build`)
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(known, e.Name()) {
			t.Errorf("%s stands at the top of the tree: give it a room, or a reason in ARCHITECTURE.md", e.Name())
		}
	}
}
