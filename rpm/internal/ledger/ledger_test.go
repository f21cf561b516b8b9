// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var (
	commit = strings.Repeat("0123456789", 4)
	digest = strings.Repeat("abcdef01", 8)
)

func row(component, version string) Row {
	return Row{Component: component, Version: version, Commit: commit, Toolchain: "go1.26.8", Digest: digest}
}

func TestParse(t *testing.T) {
	good := "- {component: rib, version: 1.0.0, commit: '" + commit + "', toolchain: go1.26.8, digest: " + digest + "}\n"
	for _, tt := range []struct{ desc, text, says string }{
		{"empty", "", ""},
		{"only comments", "# nothing yet\n", ""},
		{"one", good, ""},
		{"two components", good + strings.Replace(good, "rib", "bgp", 1), ""},
		{"a higher version", good + strings.Replace(good, "1.0.0", "1.0.1", 1), ""},
		{"twice", good + good, "row 2: rib 1.0.0 does not come after rib 1.0.0"},
		{"a lower version", strings.Replace(good, "1.0.0", "1.10.0", 1) + strings.Replace(good, "1.0.0", "1.9.0", 1), "rib 1.9.0 does not come after rib 1.10.0"},
		{"short commit", strings.Replace(good, commit, commit[:12], 1), "want 40 lower-case hex digits"},
		{"digest in capitals", strings.Replace(good, digest, strings.ToUpper(digest), 1), "want 64 lower-case hex digits"},
		{"no version", strings.Replace(good, "1.0.0", "\"1.0\"", 1), `version "1.0": want a semantic version`},
		{"build metadata", strings.Replace(good, "1.0.0", "1.0.0+x", 1), "want a semantic version"},
		{"no toolchain", strings.Replace(good, "go1.26.8", "gcc", 1), "want a Go release"},
		{"an unknown field", strings.Replace(good, "component:", "name:", 1), "unknown field"},
	} {
		_, err := Parse([]byte(tt.text))
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", tt.desc, err, tt.says)
		}
	}
}

func TestAppend(t *testing.T) {
	file := filepath.Join(t.TempDir(), "releases.yaml")
	if err := os.WriteFile(file, []byte("# kept\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, rows := range [][]Row{{row("rib", "1.0.0"), row("host", "1.0.0")}, {row("rib", "1.1.0")}} {
		if err := Append(file, rows...); err != nil {
			t.Fatal(err)
		}
	}
	if err := Append(file, row("host", "2.0.0"), row("rib", "1.0.5")); err == nil || !strings.Contains(err.Error(), "rib 1.0.5 does not come after rib 1.1.0") {
		t.Errorf("a lower version: %v", err)
	}
	l, err := Load(file)
	if want := (Ledger{row("rib", "1.0.0"), row("host", "1.0.0"), row("rib", "1.1.0")}); err != nil || !slices.Equal(l, want) {
		t.Errorf("got %v, %v, want %v", l, err, want)
	}
	if text, _ := os.ReadFile(file); !strings.HasPrefix(string(text), "# kept\n") {
		t.Errorf("the comment is gone: %s", text)
	}
}

func TestSelect(t *testing.T) {
	l := Ledger{row("rib", "1.0.0"), row("host", "1.0.0"), row("rib", "1.1.0")}
	if got, err := l.Select(); err != nil || len(got) != 3 {
		t.Errorf("all: %v, %v", got, err)
	}
	if got, err := l.Select("rib=1.1.0"); err != nil || len(got) != 1 || got[0].Version != "1.1.0" {
		t.Errorf("one: %v, %v", got, err)
	}
	for _, bad := range []string{"rib", "rib=2.0.0", "=1.0.0", "bgp=1.0.0"} {
		if _, err := l.Select(bad); err == nil || !strings.Contains(err.Error(), "names no released version") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
