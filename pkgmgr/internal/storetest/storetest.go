// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package storetest makes real packages, keys and evidence for tests: signed RPMs of components that are small.
package storetest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/rpm"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// Workshop is a directory with a key, in which packages are made.
type Workshop struct {
	Dir string
	Key *rpm.Key
	t   testing.TB
}

// New returns a workshop with a key of its own. A directory of its own is removed with the test.
func New(t testing.TB) *Workshop {
	t.Helper()
	w := &Workshop{Dir: t.TempDir(), t: t}
	key, err := rpm.NewKey(filepath.Join(w.Dir, "keys"), "lab")
	must(t, err)
	must(t, os.Remove(filepath.Join(w.Dir, "keys", "lab.key")))
	w.Key = key
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Manifest is the text of a small component's manifest; more is added to it as it is.
func Manifest(component, version, handover string, more ...string) string {
	return fmt.Sprintf(`# SPDX-License-Identifier: Apache-2.0
name: %s
daemon: %sd
version: %s
summary: %s for tests
run: {command: [bin/%sd]}
handover: %s
%s`, component, component, version, component, component, handover, strings.Join(more, "\n"))
}

// Package makes a signed RPM and returns its path. The program holds the given text; contracts are files by contract.
func (w *Workshop) Package(manifest, program string, contracts map[string]string) string {
	w.t.Helper()
	name := strings.TrimPrefix(strings.Split(manifest, "\n")[1], "name: ")
	tree := filepath.Join(w.t.TempDir(), name)
	must(w.t, os.MkdirAll(filepath.Join(tree, "bin"), 0o755))
	must(w.t, os.WriteFile(filepath.Join(tree, "component.yaml"), []byte(manifest), 0o644))
	must(w.t, os.WriteFile(filepath.Join(tree, "bin", name+"d"), []byte(program), 0o755))
	for contract, text := range contracts {
		must(w.t, os.MkdirAll(filepath.Join(tree, "contracts"), 0o755))
		must(w.t, os.WriteFile(filepath.Join(tree, "contracts", contract+".yaml"), []byte(text), 0o644))
	}
	out := filepath.Join(w.Dir, "repo")
	must(w.t, os.MkdirAll(out, 0o755))
	file, err := rpm.Build(tree, out, w.Key, time.Unix(1764000000, 0))
	must(w.t, err)
	return file
}

// Evidence writes a signed result and returns the paths of the document and the signature.
func (w *Workshop) Evidence(name string, e store.Evidence) []string {
	w.t.Helper()
	text, err := json.Marshal(e)
	must(w.t, err)
	file := filepath.Join(w.Dir, name+".json")
	must(w.t, os.WriteFile(file, text, 0o644))
	must(w.t, rpm.SignFile(file, w.Key))
	return []string{file, file + ".asc"}
}

// Store returns a store in a directory that trusts the workshop's key and holds the files.
func (w *Workshop) Store(dir string, files ...string) *store.Store {
	w.t.Helper()
	must(w.t, os.MkdirAll(filepath.Join(dir, store.KeysDir), 0o755))
	key, err := os.ReadFile(filepath.Join(w.Dir, "keys", "lab.asc"))
	must(w.t, err)
	must(w.t, os.WriteFile(filepath.Join(dir, store.KeysDir, "lab.asc"), key, 0o644))
	s, err := store.Open(dir)
	must(w.t, err)
	must(w.t, s.Prepare())
	for _, a := range Add(w.t, s, files...) {
		must(w.t, a.Refusal)
	}
	return s
}

// Add brings files into a store in one batch.
func Add(t testing.TB, s *store.Store, files ...string) []store.Added {
	t.Helper()
	batch, err := s.Begin()
	must(t, err)
	defer batch.Close()
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		must(t, batch.Next(filepath.Base(file)))
		_, err = batch.Write(text)
		must(t, err)
	}
	added, err := batch.Admit(time.Unix(1765000000, 0))
	must(t, err)
	return added
}
