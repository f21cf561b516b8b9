// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/journal"
)

func write(t rapid.TB, path string, payloads ...[]byte) []int64 {
	t.Helper()
	j, _, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	ends := []int64{j.Size()}
	for _, p := range payloads {
		if err := j.Append(p); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, j.Size())
	}
	return ends
}

func read(t rapid.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func equal(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// Cut anywhere, the journal holds exactly the records that were whole, and takes more.
func TestTornAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "journal")
		payloads := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 60), 1, 6).Draw(t, "payloads")
		ends := write(t, path, payloads...)
		cut := rapid.Int64Range(0, ends[len(ends)-1]).Draw(t, "cut")
		if err := os.Truncate(path, cut); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for whole < len(payloads) && ends[whole+1] <= cut {
			whole++
		}
		j, got, err := journal.Open(path)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if !equal(got, payloads[:whole]) {
			t.Fatalf("cut at %d: got %d records, want %d", cut, len(got), whole)
		}
		if err := j.Append([]byte("more")); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if got, err := journal.Read(path); err != nil || !equal(got, append(payloads[:whole:whole], []byte("more"))) {
			t.Fatalf("after one more: %d records, %v", len(got), err)
		}
	})
}

// One changed byte never makes a record out of thin air, nor passes unnoticed before the last record.
func TestChangedAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "journal")
		payloads := [][]byte{[]byte("first"), []byte("second"), []byte("third")}
		ends := write(t, path, payloads...)
		text := read(t, path)
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		text[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := journal.Read(path)
		for i, p := range got {
			if !bytes.Equal(p, payloads[i]) {
				t.Fatalf("byte %d changed: record %d reads %q", at, i, p)
			}
		}
		refused := errors.Is(err, journal.ErrDamaged) || errors.Is(err, journal.ErrNewer)
		if int64(at) < ends[2] && !refused {
			t.Fatalf("byte %d changed and nobody noticed", at)
		}
	})
}

func TestNewerIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(path, []byte("ashlar-journal/2\nwhatever"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := journal.Open(path); !errors.Is(err, journal.ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
}

func TestZeroTailIsTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	ends := write(t, path, []byte("one"))
	if err := os.Truncate(path, ends[1]+200); err != nil {
		t.Fatal(err)
	}
	if got, err := journal.Read(path); err != nil || len(got) != 1 {
		t.Errorf("got %d records, %v, want 1", len(got), err)
	}
}

func TestReplaceKeepsTheRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	write(t, path, []byte("one"), []byte("two"), []byte("three"))
	j, err := journal.Replace(path, [][]byte{[]byte("three")})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Append([]byte("four")); err != nil {
		t.Fatal(err)
	}
	j.Close()
	if got, err := journal.Read(path); err != nil || !equal(got, [][]byte{[]byte("three"), []byte("four")}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzRead(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	write(f, path, []byte("one"), []byte("two"))
	f.Add(read(f, path))
	f.Add([]byte("ashlar-journal/1\n"))
	f.Add([]byte("ashlar-journal/9\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		first, err := journal.Read(path)
		if err != nil {
			return
		}
		j, again, err := journal.Open(path)
		if err != nil || !equal(first, again) {
			t.Fatalf("Read and Open differ: %d and %d records, %v", len(first), len(again), err)
		}
		if err := j.Append([]byte("x")); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if got, err := journal.Read(path); err != nil || len(got) != len(again)+1 {
			t.Fatalf("%d records and one more are %d, %v", len(again), len(got), err)
		}
	})
}
