// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package yard

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/ashlar-nos/ashlar/rpm/internal/history"
	"github.com/ashlar-nos/ashlar/rpm/internal/ledger"
	"github.com/ashlar-nos/ashlar/rpm/internal/source"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// released is a house whose alpha 1.0.0 and beta 1.0.0 were released, and whose alpha is 1.1.0 now.
func released(t *testing.T) (*scratch, ledger.Ledger) {
	t.Helper()
	s := newScratch(t)
	rows := s.release()
	s.commit("release")
	s.raise("alpha", "1.0.0", "1.1.0")
	s.write("shared/is.go", "package shared\n\nconst Is = 3\n")
	s.commit("change")
	s.raise("beta", "1.0.0", "1.0.1")
	return s, rows
}

func TestReleases(t *testing.T) {
	s, rows := released(t)
	if len(rows) != 2 || rows[0].Component != "alpha" || rows[1].String() != "beta 1.0.0" || rows[0].Commit != s.git("rev-parse", "HEAD~4") {
		t.Fatalf("rows %v", rows)
	}
	if err := os.RemoveAll(s.yard.Work); err != nil {
		t.Fatal(err)
	}
	s.pack()
	s.log.Reset()
	packages, err := s.yard.PackReleases(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(s.log.String(), "building 2 released components"); n != 1 || len(packages) != 2 || !packages[0].Fresh {
		t.Errorf("one build for both: %s", s.log.String())
	}
	got := s.files()
	if len(got) != 4 || got["alpha 1.0.0"] != rows[0].Digest || got["beta 1.0.0"] != rows[1].Digest || got["alpha 1.1.0"] == rows[0].Digest {
		t.Errorf("the repository has %v, released were %v", got, rows)
	}
	if left := s.git("worktree", "list"); strings.Contains(left, "\n") {
		t.Errorf("working trees are left: %s", left)
	}
	if left, err := os.ReadDir(filepath.Join(s.yard.Work, "releases")); err != nil || len(left) != 0 {
		t.Errorf("left below %s: %v, %v", s.yard.Work, left, err)
	}
	s.log.Reset()
	packages, err = s.yard.PackReleases(context.Background(), "alpha=1.0.0")
	if err != nil || len(packages) != 1 || packages[0].Fresh || strings.Contains(s.log.String(), "building") {
		t.Errorf("again: %v, %v: %s", packages, err, s.log.String())
	}
	s.pack()
	if got := s.files(); len(got) != 4 {
		t.Errorf("packing the tree took released versions away: %v", got)
	}
}

// An older version can be rebuilt on another machine, where nothing is kept, whatever the environment says.
func TestReleasesElsewhere(t *testing.T) {
	s, rows := released(t)
	t.Setenv("GOFLAGS", "-buildvcs=true -race=false")
	t.Setenv("CGO_ENABLED", "1")
	clone := t.TempDir()
	s.git("clone", "--quiet", s.dir, clone)
	other := *s.yard
	other.Root, other.Work, other.Repository = clone, filepath.Join(clone, "build"), filepath.Join(clone, "build", "repo")
	packages, err := other.PackReleases(context.Background(), "beta=1.0.0")
	if err != nil || len(packages) != 1 || packages[0].Digest != rows[1].Digest {
		t.Errorf("got %v, %v, want %s", packages, err, rows[1].Digest)
	}
}

func TestReleasesThatDiffer(t *testing.T) {
	s, rows := released(t)
	rewrite := func(change func(rows ledger.Ledger)) {
		t.Helper()
		changed := slices.Clone(rows)
		change(changed)
		s.write(ledger.File, "")
		if err := ledger.Append(filepath.Join(s.dir, ledger.File), changed...); err != nil {
			t.Fatal(err)
		}
	}
	none := strings.Repeat("0", 64)
	rewrite(func(rows ledger.Ledger) { rows[0].Digest = none })
	packages, err := s.yard.PackReleases(context.Background())
	if want := "alpha 1.0.0: built from commit " + rows[0].Commit[:12]; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), none) {
		t.Errorf("another digest: %v", err)
	}
	if _, there := s.files()["alpha 1.0.0"]; there || len(packages) != 1 || packages[0].Component != "beta" {
		t.Errorf("offered %v, the repository has %v", packages, s.files())
	}
	rewrite(func(rows ledger.Ledger) { rows[0].Commit = s.git("rev-parse", "HEAD") })
	if _, err := s.yard.PackReleases(context.Background()); err == nil || !strings.Contains(err.Error(), "the component's version is 1.1.0") {
		t.Errorf("another version at the commit: %v", err)
	}
	s.git("checkout", "--quiet", "-B", "side", "HEAD~2")
	s.write("side.txt", "x")
	side := s.commit("side")
	s.git("checkout", "--quiet", "main")
	s.git("merge", "--quiet", "--no-ff", "--message", "merge", "side")
	rewrite(func(rows ledger.Ledger) { rows[0].Commit = side })
	if _, err := s.yard.PackReleases(context.Background()); err == nil || !strings.Contains(err.Error(), "not in the line of first parents") {
		t.Errorf("a commit of a side line: %v", err)
	}
}

func TestReleaseRefuses(t *testing.T) {
	s, _ := released(t)
	if _, err := s.yard.Release(context.Background(), "gamma"); err == nil {
		t.Error("released a component that is not there")
	}
	s.write("stray.go", "package house\n")
	if _, err := s.yard.Release(context.Background()); err == nil || !strings.Contains(err.Error(), "stray.go") {
		t.Errorf("with a stray file: %v", err)
	}
	s.commit("keep it")
	if rows := s.release("alpha"); len(rows) != 1 || rows[0].String() != "alpha 1.1.0" {
		t.Errorf("released %v", rows)
	}
	s.commit("release")
	if _, err := s.yard.Release(context.Background(), "alpha"); err == nil || !strings.Contains(err.Error(), "raise the version in services/alpha/component.yaml") {
		t.Errorf("released twice: %v", err)
	}
	s.write("shared/is.go", "package shared\n\nconst Is = 4\n")
	s.commit("change without raising the version")
	if _, err := s.yard.PackTree(context.Background()); err == nil || !strings.Contains(err.Error(), "alpha 1.1.0 is released already and the working tree's is another") ||
		strings.Contains(err.Error(), "beta") {
		t.Errorf("another package by a released name: %v", err)
	}
}

const top = "../../.."

// The house's own list keeps its rules.
func TestLedgerOfTheHouse(t *testing.T) {
	ctx := context.Background()
	rows, err := ledger.Load(filepath.Join(top, ledger.File))
	if err != nil {
		t.Fatal(err)
	}
	repository, err := history.Open(ctx, top)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkLine(ctx, repository, rows); err != nil {
		t.Error(err)
	}
	for _, r := range rows {
		if got := versionAt(t, repository, r); got != r.Version {
			t.Errorf("%s: the manifest at commit %.12s says %q", r, r.Commit, got)
		}
	}
}

// versionAt returns the version that a component's manifest had at its row's commit.
func versionAt(t *testing.T, repository history.Repository, r ledger.Row) string {
	t.Helper()
	names, err := repository.Names(context.Background(), r.Commit)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if filepath.Base(name) != "component.yaml" || strings.Contains(name, "testdata") {
			continue
		}
		text, err := repository.File(context.Background(), r.Commit, name)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := manifest.Parse(text); err == nil && m.Name == r.Component {
			return m.Version
		}
	}
	return ""
}

// A component of this house, built from one commit in two places, gives one digest.
func TestReproducibleFromCommit(t *testing.T) {
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	repository, err := history.Open(ctx, top)
	if err != nil {
		t.Fatal(err)
	}
	head, err := repository.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOFLAGS", "") // for t to put it back
	os.Unsetenv("GOFLAGS")
	var digests []string
	for _, work := range []string{t.TempDir(), filepath.Join(t.TempDir(), "another", "place")} {
		y := &Yard{Root: top, Work: work, Key: key, Log: t.Output()}
		packages, err := y.packCommit(ctx, repository, head, "", []string{"host"})
		if err != nil {
			t.Fatal(err)
		}
		p, err := rpm.Open(y.store().file(packages[0].FileName()), key.Keyring())
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, p.Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("one commit, two digests: %v", digests)
	}
}

func TestTreesOfTheHouse(t *testing.T) {
	tree, err := source.Open(top)
	if err != nil {
		t.Fatal(err)
	}
	components, err := tree.Select()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range components {
		names = append(names, c.Name)
	}
	for _, name := range []string{"config", "dataplane", "host", "interfaces", "rib", "state", "supervisor"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not among the components that are packed: %v", name, names)
		}
	}
}
