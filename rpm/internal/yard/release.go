// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package yard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/ashlar-nos/ashlar/rpm/internal/history"
	"github.com/ashlar-nos/ashlar/rpm/internal/ledger"
	"github.com/ashlar-nos/ashlar/rpm/internal/source"
)

// PackReleases offers released versions in the repository: those that arguments of the form component=version name, or all. What the
// yard does not hold it builds from the row's commit, all components of a commit together, and compares with the row. One that
// comes out otherwise is an error that names it, and is not offered.
func (y *Yard) PackReleases(ctx context.Context, arguments ...string) ([]Package, error) {
	release, err := y.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	all, err := ledger.Load(filepath.Join(y.Root, ledger.File))
	if err != nil {
		return nil, err
	}
	rows, err := all.Select(arguments...)
	if err != nil {
		return nil, err
	}
	packages, err := y.packRows(ctx, rows)
	return packages, errors.Join(err, y.offer(ctx, packages, nil))
}

// packRows returns the packages that are as their rows say, and an error for the others.
func (y *Yard) packRows(ctx context.Context, rows ledger.Ledger) ([]Package, error) {
	var out []Package
	var missing ledger.Ledger
	for _, r := range rows {
		if p, ok := y.store().released(r); ok {
			y.tell(p)
			out = append(out, p)
			continue
		}
		missing = append(missing, r)
	}
	if len(missing) == 0 {
		return out, nil
	}
	repository, err := history.Open(ctx, y.Root)
	if err != nil {
		return out, err
	}
	if err := checkLine(ctx, repository, missing); err != nil {
		return out, err
	}
	var failed []error
	for _, group := range groups(missing) {
		packages, err := y.packGroup(ctx, repository, group)
		out, failed = append(out, packages...), append(failed, err)
	}
	return out, errors.Join(failed...)
}

// groups sorts rows by what can be built in one go.
func groups(rows ledger.Ledger) []ledger.Ledger {
	var out []ledger.Ledger
	for _, r := range rows {
		i := slices.IndexFunc(out, func(g ledger.Ledger) bool { return g[0].Commit == r.Commit && g[0].Toolchain == r.Toolchain })
		if i < 0 {
			i = len(out)
			out = append(out, nil)
		}
		out[i] = append(out[i], r)
	}
	return out
}

// checkLine refuses rows whose commit was never HEAD of the line that leads here.
func checkLine(ctx context.Context, repository history.Repository, rows ledger.Ledger) error {
	line, err := repository.Line(ctx)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if !slices.Contains(line, r.Commit) {
			return fmt.Errorf("%s: commit %.12s is not in the line of first parents of HEAD: releases are made of main, and main is never rewritten", r, r.Commit)
		}
	}
	return nil
}

// packGroup builds rows of one commit and compares.
func (y *Yard) packGroup(ctx context.Context, repository history.Repository, rows ledger.Ledger) ([]Package, error) {
	var names []string
	for _, r := range rows {
		names = append(names, r.Component)
	}
	packages, err := y.packCommit(ctx, repository, rows[0].Commit, rows[0].Toolchain, names)
	if err != nil {
		return nil, fmt.Errorf("%s at commit %.12s: %w", rows[0], rows[0].Commit, err)
	}
	var good []Package
	var failed []error
	for i, p := range packages {
		if err := agrees(rows[i], p); err != nil {
			failed = append(failed, err, y.store().drop(p.FileName()))
			continue
		}
		good = append(good, p)
	}
	return good, errors.Join(failed...)
}

// agrees compares a package with its row.
func agrees(r ledger.Row, p Package) error {
	switch {
	case p.Version != r.Version:
		return fmt.Errorf("%s: at commit %.12s the component's version is %s", r, r.Commit, p.Version)
	case rpm.HostArch() == ledger.Arch && p.Digest != r.Digest:
		return fmt.Errorf("%s: built from commit %.12s by %s its package has the digest %s, %s says %s", r, r.Commit, r.Toolchain, p.Digest, ledger.File, r.Digest)
	}
	return nil
}

// packCommit packs components as they were at a commit.
func (y *Yard) packCommit(ctx context.Context, repository history.Repository, commit, toolchain string, names []string) ([]Package, error) {
	fmt.Fprintf(y.Log, "building %d released components from commit %.12s\n", len(names), commit)
	work := filepath.Join(y.Work, "releases", commit[:12])
	checkout, trees := filepath.Join(work, "source"), filepath.Join(work, "trees")
	then, err := repository.CheckOut(ctx, commit, checkout)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	defer repository.Remove(ctx, checkout)
	tree, err := source.Open(checkout)
	if err != nil {
		return nil, err
	}
	return y.packAll(ctx, batch{repository: then, tree: tree, out: trees, names: names, commit: commit, toolchain: toolchain})
}

// Release adds a row for each of the components, as HEAD has them; without names for all whose version is not released. The
// working tree must be clean: nothing but the commit goes into the packages.
func (y *Yard) Release(ctx context.Context, names ...string) (ledger.Ledger, error) {
	release, err := y.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	if rpm.HostArch() != ledger.Arch {
		return nil, fmt.Errorf("digests are recorded for %s, this machine is %s: release on one of those", ledger.Arch, rpm.HostArch())
	}
	repository, err := history.Open(ctx, y.Root)
	if err != nil {
		return nil, err
	}
	if err := repository.Clean(ctx); err != nil {
		return nil, err
	}
	file := filepath.Join(y.Root, ledger.File)
	names, toolchain, err := y.unreleased(ctx, file, names)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	commit, err := repository.Head(ctx)
	if err != nil {
		return nil, err
	}
	packages, err := y.packCommit(ctx, repository, commit, toolchain, names)
	if err != nil {
		return nil, err
	}
	var rows ledger.Ledger
	for _, p := range packages {
		rows = append(rows, ledger.Row{Component: p.Component, Version: p.Version, Commit: commit, Toolchain: toolchain, Digest: p.Digest})
	}
	return rows, ledger.Append(file, rows...)
}

// unreleased checks names, or finds those of the components whose version has no row, and says which Go is installed.
func (y *Yard) unreleased(ctx context.Context, file string, names []string) ([]string, string, error) {
	rows, err := ledger.Load(file)
	if err != nil {
		return nil, "", err
	}
	tree, err := source.Open(y.Root)
	if err != nil {
		return nil, "", err
	}
	components, err := tree.Select(names...)
	if err != nil {
		return nil, "", err
	}
	var out []string
	for _, c := range components {
		if last, ok := rows.Last(c.Name); ok && rpm.CompareVersions(c.Version, last.Version) <= 0 {
			if len(names) > 0 {
				return nil, "", fmt.Errorf("%s is released already: raise the version in %s/component.yaml", last, c.Dir)
			}
			continue
		}
		out = append(out, c.Name)
	}
	toolchain, err := tree.Toolchain(ctx)
	return out, toolchain, err
}
