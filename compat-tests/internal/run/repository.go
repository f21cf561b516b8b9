// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package run verifies packages: it installs devices from a repository, each in a network of its own, and plays every
// contract file against every provider that it is about.
package run

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ashlar-nos/ashlar/compat-tests/internal/contract"
	"github.com/ashlar-nos/ashlar/lab/repository"
	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// member is a package of the repository, with its contract files.
type member struct {
	component, version, digest string
	manifest                   *manifest.Manifest
	files                      []*contract.File
}

func (m member) String() string { return m.component + " " + m.version }

// members opens every package. Trees are unpacked below cache, once for each digest.
func members(r *repository.Repository, keyring rpm.Keyring, cache string) ([]member, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	var out []member
	for _, p := range r.Packages {
		opened, err := rpm.Open(p.File, keyring)
		if err != nil {
			return nil, err
		}
		tree := filepath.Join(cache, opened.Digest)
		if _, err := os.Stat(tree); err != nil {
			if err := opened.Unpack(tree); err != nil {
				return nil, err
			}
		}
		files, err := filepath.Glob(filepath.Join(tree, "contracts", "*.yaml"))
		if err != nil {
			return nil, err
		}
		m := member{component: opened.Component, version: opened.Version, digest: opened.Digest, manifest: opened.Manifest}
		for _, file := range files {
			f, err := contract.Load(file)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m, err)
			}
			if want := f.Contract + ".yaml"; filepath.Base(file) != want || f.Consumer != m.component {
				return nil, fmt.Errorf("%s: %s is the contract file of %s for %s", m, filepath.Base(file), f.Consumer, f.Contract)
			}
			m.files = append(m.files, f)
		}
		out = append(out, m)
	}
	return out, nil
}

// columns are sets of packages to run together, so that every version of every component runs in one: the oldest of all
// first. A component with fewer versions stays at its newest.
func columns(r *repository.Repository) (sets [][]string) {
	most := 0
	names := []string{}
	for _, p := range r.Packages {
		if !slices.Contains(names, p.Component) {
			names = append(names, p.Component)
			most = max(most, len(r.Versions(p.Component)))
		}
	}
	for i := range most {
		var set []string
		for _, name := range names {
			versions := r.Versions(name)
			set = append(set, name+"="+versions[min(i, len(versions)-1)])
		}
		sets = append(sets, set)
	}
	return sets
}

// in returns the members of a set.
func in(set []string, all []member) []member {
	return slices.DeleteFunc(slices.Clone(all), func(m member) bool {
		return !slices.Contains(set, m.component+"="+m.version)
	})
}

// edge is one thing to verify.
type edge struct {
	file     *contract.File
	consumer member
	provider member
	level    uint32
}

// edges are all pairs of a contract file, of any version, and a provider of the set. Each file occurs once for each
// provider, however many versions of its consumer ship it.
func edges(all, set []member) []edge {
	var out []edge
	seen := map[string]bool{}
	for _, consumer := range all {
		for _, f := range consumer.files {
			for _, provider := range set {
				level, provides := provider.manifest.Level(f.Contract)
				key := f.Hash + provider.digest
				if !provides || level < f.Level || provider.component == consumer.component || seen[key] {
					continue
				}
				seen[key] = true
				out = append(out, edge{f, consumer, provider, level})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b edge) int {
		return strings.Compare(a.file.Consumer+a.file.Contract, b.file.Consumer+b.file.Contract)
	})
	return out
}
