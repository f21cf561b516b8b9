// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package yard

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/ashlar-nos/ashlar/rpm/internal/ledger"
)

// scratch is a small house in a git repository of its own: two components, a package that both import and one that only
// the second does.
type scratch struct {
	t    *testing.T
	dir  string
	when int64 // time of the next commit
	log  bytes.Buffer
	yard *Yard
}

// testKey takes a second to make.
var testKey = sync.OnceValues(func() (*rpm.Key, error) {
	dir, err := os.MkdirTemp("", "yard-keys-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	return rpm.NewKey(dir, "yard")
})

func newScratch(t *testing.T) *scratch {
	t.Helper()
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	s := &scratch{t: t, dir: t.TempDir(), when: 1_700_000_000}
	s.yard = &Yard{Root: s.dir, Work: filepath.Join(s.dir, "build"), Repository: filepath.Join(s.dir, "build", "repo"), Key: key, Log: &s.log}
	s.git("init", "--quiet", "--initial-branch", "main")
	for name, text := range map[string]string{
		".gitignore":     "build/\n",
		"go.mod":         "module example.com/house\n\ngo 1.26.0\n",
		"go.sum":         "",
		ledger.File:      "# none yet\n",
		"shared/is.go":   "package shared\n\nconst Is = 1\n",
		"second/only.go": "package second\n\nconst Only = 1\n",
		"compat-tests/contracts/beta--acme.alpha.v1.yaml": "level: 1\n",
	} {
		s.write(name, text)
	}
	s.component("alpha", "1.0.0", `import "example.com/house/shared"`, "shared.Is")
	s.component("beta", "1.0.0", `import ("example.com/house/shared"; "example.com/house/second")`, "shared.Is+second.Only")
	s.commit("begin")
	return s
}

func (s *scratch) component(name, version, imports, value string) {
	s.write("services/"+name+"/main.go", "package main\n\n"+imports+"\n\nfunc main() { println("+value+") }\n")
	s.write("services/"+name+"/component.yaml", fmt.Sprintf(
		"# SPDX-License-Identifier: Apache-2.0\nname: %[1]s\ndaemon: %[1]sd\nversion: %[2]s\nsummary: One of the house\nrun: {command: [bin/%[1]sd]}\n", name, version))
}

// raise gives a component another version.
func (s *scratch) raise(name, from, to string) {
	file := "services/" + name + "/component.yaml"
	text, err := os.ReadFile(filepath.Join(s.dir, file))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(file, strings.Replace(string(text), "version: "+from, "version: "+to, 1))
	s.commit("raise " + name)
}

func (s *scratch) write(name, text string) {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scratch) git(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = s.dir
	date := fmt.Sprintf("@%d +0000", s.when)
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit commits everything, a minute after the last time.
func (s *scratch) commit(message string) string {
	s.t.Helper()
	s.when += 60
	s.git("add", "--all")
	s.git("commit", "--quiet", "--message", message)
	return s.git("rev-parse", "HEAD")
}

func (s *scratch) pack() map[string]Package {
	s.t.Helper()
	packages, err := s.yard.PackTree(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]Package{}
	for _, p := range packages {
		out[p.Component] = p
	}
	return out
}

func (s *scratch) release(names ...string) ledger.Ledger {
	s.t.Helper()
	rows, err := s.yard.Release(context.Background(), names...)
	if err != nil {
		s.t.Fatal(err)
	}
	return rows
}

// files lists the repository's packages, and opens each as a device does.
func (s *scratch) files() map[string]string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.yard.Repository, "*.rpm"))
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for _, file := range files {
		p, err := rpm.Open(file, s.yard.Key.Keyring())
		if err != nil {
			s.t.Fatal(err)
		}
		out[p.Component+" "+p.Version] = p.Digest
	}
	return out
}
