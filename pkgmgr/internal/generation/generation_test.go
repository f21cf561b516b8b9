// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package generation_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

const self = `
name: supervisor
daemon: ashlard
version: 1.0.0
provides: [{contract: test.supervisor.v1, level: 1}]
run: {command: [bin/ashlard]}
sockets: [{name: api, unix: supervisor.sock}]
`

// head is a manifest up to where tests go on; the socket list is the last key.
func head(name, contracts string) string {
	return fmt.Sprintf("name: %s\ndaemon: %sd\nversion: 1.0.0\n%srun: {command: [bin/%sd]}\nsockets:\n  - {name: api, unix: %s.sock}\n", name, name, contracts, name, name)
}

// load writes the manifests, by directory, and loads them.
func load(t *testing.T, manifests map[string]string) (*generation.Generation, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range manifests {
		if err := os.MkdirAll(filepath.Join(dir, name, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "component.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "bin", name+"d"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m, err := manifest.Parse([]byte(self))
	if err != nil {
		t.Fatal(err)
	}
	return generation.Load(dir, m, nil)
}

func TestStartOrder(t *testing.T) {
	g, err := load(t, map[string]string{
		"zeta":  head("zeta", "provides: [{contract: test.zeta.v1, level: 1}]\n"),
		"alpha": head("alpha", "requires: [{contract: test.zeta.v1, levels: {min: 1}}, {contract: test.supervisor.v1, levels: {min: 1}}]\n"),
		"beta":  head("beta", "start: {after: [alpha, absent]}\nrequires: [{contract: test.none.v1, levels: {min: 1}, optional: true}]\n"),
		"free":  head("free", "requires: [{contract: test.zeta.v1, levels: {min: 1}, optional: true}]\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range g.Components {
		names = append(names, c.Name())
	}
	if !slices.Equal(names, []string{"free", "zeta", "alpha", "beta"}) {
		t.Errorf("start order %v", names)
	}
	if a, _ := g.Component("alpha"); !slices.Equal(a.After, []string{"zeta"}) {
		t.Errorf("alpha is started after %v", a.After)
	}
	if f, _ := g.Component("free"); len(f.After) != 0 {
		t.Errorf("free is started after %v, an optional requirement", f.After)
	}
	if len(g.Warnings) != 1 || !strings.Contains(g.Warnings[0], `beta: start.after names "absent"`) {
		t.Errorf("warnings %q", g.Warnings)
	}
}

func TestContractsThatAllServeAreNotOwned(t *testing.T) {
	telemetry := "provides: [{contract: ashlar.telemetry.v1, level: 1}]\n"
	g, err := load(t, map[string]string{
		"a": head("a", telemetry),
		"b": head("b", telemetry+"requires: [{contract: ashlar.telemetry.v1, levels: {min: 1}}]\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := g.Component("b"); len(b.After) != 0 {
		t.Errorf("b is started after %v", b.After)
	}
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		desc      string
		manifests map[string]string
		want      string
	}{
		{"nothing", nil, "there is no component"},
		{"other name", map[string]string{"b": head("a", "")}, `b holds the component "a"`},
		{"no api", map[string]string{"a": strings.Replace(head("a", ""), "name: api", "name: other", 1)}, `want a unix socket named "api"`},
		{"no program", map[string]string{"a": strings.Replace(head("a", ""), "bin/ad", "bin/none", 1)}, "no such file"},
		{"itself", map[string]string{"a": head("a", "start: {after: [a]}\n")}, "a needs a"},
		{"same socket", map[string]string{"a": head("a", ""), "b": strings.Replace(head("b", ""), "b.sock", "a.sock", 1)}, "both listen on a.sock"},
		{"the supervisor's socket", map[string]string{"a": head("a", "") + "  - {name: x, unix: supervisor.fds.sock}\n"}, "supervisor and a both listen on supervisor.fds.sock"},
		{"the supervisor's contract", map[string]string{"a": head("a", "provides: [{contract: test.supervisor.v1, level: 1}]\n")}, "supervisor and a both provide"},
	} {
		t.Run(test.desc, func(t *testing.T) {
			_, err := load(t, test.manifests)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestEveryFaultIsNamed(t *testing.T) {
	_, err := load(t, map[string]string{
		"a": head("a", "requires: [{contract: test.x.v1, levels: {min: 1}}]\n"),
		"b": head("b", "requires: [{contract: test.y.v1, levels: {min: 1}}]\n"),
	})
	if err == nil || !strings.Contains(err.Error(), "test.x.v1") || !strings.Contains(err.Error(), "test.y.v1") {
		t.Errorf("got %v", err)
	}
}

func TestProgramMustBeForAll(t *testing.T) {
	dir := t.TempDir()
	tree := filepath.Join(dir, "a")
	if err := os.MkdirAll(filepath.Join(tree, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "bin", "ad"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "component.yaml"), []byte(head("a", "")), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Parse([]byte(self))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := generation.Load(dir, m, nil); err == nil || !strings.Contains(err.Error(), "every user may run") {
		t.Errorf("got %v", err)
	}
}

// An optional requirement is no fault when its provider is of another level: the component does without.
func TestOptionalOfAnotherLevelIsAbsent(t *testing.T) {
	manifests := map[string]string{
		"zeta":  head("zeta", "provides: [{contract: test.zeta.v1, level: 1}]\n"),
		"alpha": head("alpha", "requires: [{contract: test.zeta.v1, levels: {min: 2}, optional: true}]\n"),
	}
	if _, err := load(t, manifests); err != nil {
		t.Error(err)
	}
	manifests["alpha"] = head("alpha", "requires: [{contract: test.zeta.v1, levels: {min: 2}}]\n")
	if _, err := load(t, manifests); err == nil || !strings.Contains(err.Error(), "provides level 1") {
		t.Errorf("a requirement of a level that nobody provides: %v", err)
	}
}
