// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package repository reads which packages a repository directory holds. It goes by the files' names: whether they
// are what they say is for the device to find out. A Repository is not changed after Open.
package repository

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Package is one file.
type Package struct {
	Component, Version, File string
}

// Repository is a directory of packages.
type Repository struct {
	// Directory is absolute.
	Directory string
	// Packages are sorted by component and version.
	Packages []Package
}

var fileName = regexp.MustCompile(`^ashlar-([a-z][a-z0-9-]*)-(\d+\.\d+\.\d+)-1\.\w+\.rpm$`)

// Open reads a directory. It is an error when there is no package in it.
func Open(directory string) (*Repository, error) {
	directory, err := filepath.Abs(directory)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(directory, "*.rpm"))
	if err != nil {
		return nil, err
	}
	r := &Repository{Directory: directory}
	for _, file := range files {
		if m := fileName.FindStringSubmatch(filepath.Base(file)); m != nil {
			r.Packages = append(r.Packages, Package{Component: m[1], Version: m[2], File: file})
		}
	}
	if len(r.Packages) == 0 {
		return nil, fmt.Errorf("no package in %s: run `make repository`", directory)
	}
	slices.SortFunc(r.Packages, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Component, b.Component), compare(a.Version, b.Version))
	})
	return r, nil
}

// compare orders versions of three numbers.
func compare(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		m, _ := strconv.Atoi(x)
		n, _ := strconv.Atoi(y)
		return cmp.Compare(m, n)
	})
}

// Versions of a component, the oldest first.
func (r *Repository) Versions(component string) (versions []string) {
	for _, p := range r.Packages {
		if p.Component == component {
			versions = append(versions, p.Version)
		}
	}
	return versions
}

// Oldest and Newest versions of a component; empty when there is none.
func (r *Repository) Oldest(component string) string { return at(r.Versions(component), 0) }

// Newest is the highest version.
func (r *Repository) Newest(component string) string {
	versions := r.Versions(component)
	return at(versions, len(versions)-1)
}

func at(versions []string, i int) string {
	if i < 0 || i >= len(versions) {
		return ""
	}
	return versions[i]
}

// File is the package of a version.
func (r *Repository) File(component, version string) (string, bool) {
	for _, p := range r.Packages {
		if p.Component == component && p.Version == version {
			return p.File, true
		}
	}
	return "", false
}

// AllOldest are entries component=version with the oldest version of each component.
func (r *Repository) AllOldest() (entries []string) {
	for i, p := range r.Packages {
		if i == 0 || r.Packages[i-1].Component != p.Component {
			entries = append(entries, p.Component+"="+p.Version)
		}
	}
	return entries
}
