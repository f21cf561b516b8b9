// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package generations_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generations"
)

func open(t *testing.T, dir string) *generations.Generations {
	t.Helper()
	g, err := generations.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestMakeAndCommit(t *testing.T) {
	dir := t.TempDir()
	tree := func(digest string) string { return filepath.Join(dir, "store", digest) }
	if err := os.MkdirAll(tree("abc"), 0o755); err != nil {
		t.Fatal(err)
	}
	g := open(t, dir)
	if _, ok := g.Committed(); ok || g.Next() != 1 {
		t.Error("an empty device has a committed generation")
	}
	one := generations.Generation{ID: 1, Made: time.Unix(1, 0).UTC(), Members: map[string]string{"rib": "abc"}}
	for range 2 { // the second time changes nothing
		if err := g.Make(one, tree); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Make(generations.Generation{ID: 1, Members: map[string]string{"rib": "other"}}, tree); err == nil {
		t.Error("a generation was changed")
	}
	if err := g.Commit(7); err == nil {
		t.Error("a generation that is not there was committed")
	}
	if err := g.Commit(1); err != nil {
		t.Fatal(err)
	}
	got, ok := open(t, dir).Committed()
	if !ok || got.ID != 1 || got.Members["rib"] != "abc" {
		t.Errorf("got %+v", got)
	}
	link, err := filepath.EvalSymlinks(filepath.Join(dir, generations.Committed, "rib"))
	if want, _ := filepath.EvalSymlinks(tree("abc")); err != nil || link != want {
		t.Errorf("the committed rib is %s, %v, want %s", link, err, want)
	}
}

func TestPruneKeepsWhatIsNeeded(t *testing.T) {
	dir := t.TempDir()
	g := open(t, dir)
	tree := func(digest string) string { return filepath.Join(dir, "store", digest) }
	for id := range uint64(20) {
		if err := g.Make(generations.Generation{ID: id + 1, Members: map[string]string{"rib": "abc"}}, tree); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Commit(2); err != nil {
		t.Fatal(err)
	}
	if err := g.Prune(5); err != nil {
		t.Fatal(err)
	}
	list := open(t, dir).List()
	if len(list) != generations.Keep+3 || list[0].ID != 1 || list[1].ID != 2 || list[2].ID != 5 || list[3].ID != 11 {
		t.Errorf("%d generations stay: %v", len(list), list)
	}
	if g.Next() != 21 {
		t.Errorf("the next one would be %d", g.Next())
	}
}

// What a power cut leaves of Make is no generation, and does not stop the next attempt.
func TestHalfMadeIsNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "generations/1"), 0o755); err != nil {
		t.Fatal(err)
	}
	g := open(t, dir)
	if len(g.List()) != 0 {
		t.Error("a directory without its record is taken for a generation")
	}
	if err := g.Make(generations.Generation{ID: 1}, func(string) string { return dir }); err != nil {
		t.Error(err)
	}
}

// Whoever made a generation may have been killed after its record was written and before it got its name.
func TestUnfinishedIsSweptAway(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "generations", ".new-123")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "generation.json"), []byte(`{"id":7}`), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := generations.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if all := g.List(); len(all) != 0 {
		t.Errorf("%v is taken for a generation", all)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was not finished is still there: %v", err)
	}
}
