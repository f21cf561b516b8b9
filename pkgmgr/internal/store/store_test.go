// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/storetest"
	"github.com/ashlar-nos/ashlar/rpm"
)

const requires = "requires: [{contract: ashlar.dataplane.v1, levels: {min: 1}}]"

// files lists what a store holds, but for its keys.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(path, "/keys/") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAddAndOpenAgain(t *testing.T) {
	w, dir := storetest.New(t), t.TempDir()
	file := w.Package(storetest.Manifest("rib", "1.2.0", "takeover", requires), "program", map[string]string{"ashlar.dataplane.v1": "text"})
	s := w.Store(dir, file)
	if added := storetest.Add(t, s, file); !added[0].Known || added[0].Refusal != nil {
		t.Errorf("a second time: %+v", added[0])
	}
	for desc, s := range map[string]*store.Store{"as it was filled": s, "opened again": open(t, dir)} {
		list := s.Packages()
		if len(list) != 1 || len(s.Faults()) != 0 {
			t.Fatalf("%s: %d packages, faults %v", desc, len(list), s.Faults())
		}
		p := list[0]
		// printf text | sha256sum
		const h = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
		if p.String() != "rib 1.2.0" || p.Signer != w.Key.ID() || p.Contracts["ashlar.dataplane.v1"] != h || p.Added.IsZero() {
			t.Errorf("%s: %+v", desc, p)
		}
		if got, err := os.ReadFile(filepath.Join(p.Tree, "bin/ribd")); err != nil || string(got) != "program" {
			t.Errorf("%s: the program is %q, %v", desc, got, err)
		}
		differences, n, err := s.Verify(p.Digest)
		if err != nil || len(differences) != 0 || n != 3 {
			t.Errorf("%s: %v, %d files, %v", desc, differences, n, err)
		}
	}
}

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is refused names its file, says why, and leaves nothing; what is good comes in beside it.
func TestRefusalsLeaveNothing(t *testing.T) {
	w, stranger, dir := storetest.New(t), storetest.New(t), t.TempDir()
	s := w.Store(dir)
	manifest := storetest.Manifest("rib", "1.2.0", "takeover")
	good := w.Package(manifest, "good", nil)
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	bad := t.TempDir()
	write := func(name string, content []byte) string {
		file := filepath.Join(bad, name)
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	changed := append([]byte{}, text...)
	changed[len(changed)-20] ^= 1
	unsigned := filepath.Join(w.Dir, "unsigned.json")
	if err := os.WriteFile(unsigned, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	foreign := stranger.Package(storetest.Manifest("dataplane", "1.0.0", "restart"), "x", nil)
	for _, tt := range []struct {
		file string
		kind error
		want string
	}{
		{write("changed.rpm", changed), rpm.ErrDamaged, "changed.rpm: damaged"},
		{write("short.rpm", text[:len(text)/2]), rpm.ErrDamaged, "damaged: truncated"},
		{foreign, rpm.ErrUntrusted, filepath.Base(foreign) + ": not trusted"},
		{unsigned, rpm.ErrUnsigned, "unsigned.json"},
		{write("notes.txt", nil), nil, "notes.txt: want *.rpm"},
		{write("lonely.json.asc", nil), nil, "did not come with it"},
	} {
		a := storetest.Add(t, s, tt.file)[0]
		if a.Refusal == nil || !strings.Contains(a.Refusal.Error(), tt.want) || tt.kind != nil && !errors.Is(a.Refusal, tt.kind) {
			t.Errorf("%s: got %v, want %q", tt.file, a.Refusal, tt.want)
		}
		if a.Refusal != nil && strings.Contains(a.Refusal.Error(), dir) {
			t.Errorf("the refusal tells where the file lay: %v", a.Refusal)
		}
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	added := storetest.Add(t, s, filepath.Join(bad, "changed.rpm"), good)
	if added[0].Refusal == nil || added[1].Refusal != nil {
		t.Errorf("a bad file keeps a good one out: %v", added[1].Refusal)
	}
}

func TestEvidence(t *testing.T) {
	w, dir := storetest.New(t), t.TempDir()
	h := strings.Repeat("ab", 32)
	e := store.Evidence{Type: store.EvidenceType, Consumer: "rib", Contract: "ashlar.dataplane.v1", ContractHash: h,
		Provider: "dataplane", ProviderDigest: h, Result: store.Passed, Time: time.Unix(1, 0)}
	s := w.Store(dir, w.Evidence("good", e)...)
	for desc, s := range map[string]*store.Store{"as it was filled": s, "opened again": open(t, dir)} {
		if got := s.Evidence(); len(got) != 1 || got[0].Signer != w.Key.ID() || got[0].Contract != e.Contract {
			t.Errorf("%s: %+v", desc, got)
		}
	}
	e.Result = "perhaps"
	if a := storetest.Add(t, s, w.Evidence("bad", e)...)[0]; a.Refusal == nil || !strings.Contains(a.Refusal.Error(), `bad.json: result "perhaps"`) {
		t.Errorf("got %v", a.Refusal)
	}
	// A document that was changed after it was kept is not believed.
	for _, file := range files(t, filepath.Join(dir, "evidence")) {
		if filepath.Ext(file) == ".json" {
			text, _ := os.ReadFile(file)
			os.WriteFile(file, []byte(strings.Replace(string(text), "rib", "rip", 1)), 0o644)
		}
	}
	if s := open(t, dir); len(s.Evidence()) != 0 || len(s.Faults()) != 1 {
		t.Errorf("%d documents, faults %v", len(s.Evidence()), s.Faults())
	}
}

func TestVerifyNamesTheFile(t *testing.T) {
	w := storetest.New(t)
	s := w.Store(t.TempDir(), w.Package(storetest.Manifest("rib", "1.2.0", "takeover"), "program", nil))
	p := s.Packages()[0]
	if err := os.WriteFile(filepath.Join(p.Tree, "bin/ribd"), []byte("changed"), 0o755); err != nil {
		t.Fatal(err)
	}
	differences, _, err := s.Verify(p.Digest)
	if err != nil || len(differences) != 1 || differences[0].Path != "bin/ribd" {
		t.Errorf("got %v, %v", differences, err)
	}
}

// What a power cut leaves of an Add or a Discard is swept, and can be added again.
func TestHalfDoneIsSwept(t *testing.T) {
	w, dir := storetest.New(t), t.TempDir()
	file := w.Package(storetest.Manifest("rib", "1.2.0", "takeover"), "program", nil)
	s := w.Store(dir, file)
	p := s.Packages()[0]
	if err := os.Remove(filepath.Join(dir, "packages", p.Digest+".json")); err != nil {
		t.Fatal(err)
	}
	s = w.Store(dir)
	if left := files(t, dir); len(left) != 0 || len(s.Packages()) != 0 {
		t.Errorf("left over: %v", left)
	}
	if a := storetest.Add(t, s, file)[0]; a.Refusal != nil || a.Known {
		t.Errorf("got %+v", a)
	}
	if err := s.Discard(p.Digest); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) != 0 || len(s.Packages()) != 0 {
		t.Errorf("left over after Discard: %v", left)
	}
}

func TestRoomSaysHowMuch(t *testing.T) {
	err := store.Room(t.TempDir(), 1<<60)
	if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "MiB are free") {
		t.Errorf("got %v", err)
	}
}

func TestCompareVersions(t *testing.T) {
	ordered := []string{"0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := store.CompareVersions(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s and %s: %d", a, b, got)
			}
		}
	}
	if store.CompareVersions("1.0.0+a", "1.0.0+b") != 0 {
		t.Error("what a version says of its build is no order")
	}
}
