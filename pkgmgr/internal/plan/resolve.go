// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// Change is what somebody wants of one component.
type Change struct {
	Component string
	// Version is a version, or a digest of at least 8 digits; empty means the newest in the store.
	Version string
	Remove  bool
}

// shortestDigest is how many digits of a digest name a package.
const shortestDigest = 8

// The components that have a place of their own in every order.
const (
	Manager    = "pkgmgr"
	Supervisor = "supervisor"
)

// Target is what each changed component goes to; nil takes it off.
type Target map[string]*store.Package

// Resolve finds the packages that changes name. quarantined tells whether a package is left out when a change names no
// version.
func Resolve(changes []Change, have []*store.Package, running map[string]*store.Package, quarantined func(digest string) bool) (Target, error) {
	out := Target{}
	for _, c := range changes {
		if _, twice := out[c.Component]; twice {
			return nil, fmt.Errorf("%s is named twice", c.Component)
		}
		p, err := resolve(c, have, running, quarantined)
		if err != nil {
			return nil, err
		}
		out[c.Component] = p
	}
	return out, nil
}

func resolve(c Change, have []*store.Package, running map[string]*store.Package, quarantined func(string) bool) (*store.Package, error) {
	switch {
	case c.Remove && c.Version != "":
		return nil, fmt.Errorf("%s: a component is removed whatever its version: leave out %q", c.Component, c.Version)
	case c.Remove && (c.Component == Manager || c.Component == Supervisor):
		return nil, fmt.Errorf("%s is what installs and runs the others: it cannot be removed", c.Component)
	case c.Remove && running[c.Component] == nil:
		return nil, fmt.Errorf("%s does not run, so that it cannot be removed", c.Component)
	case c.Remove:
		return nil, nil
	}
	var of []*store.Package
	for _, p := range have {
		if p.Component == c.Component {
			of = append(of, p)
		}
	}
	if len(of) == 0 {
		return nil, fmt.Errorf("the store has no package of %s: add one with `ashlar install add`", c.Component)
	}
	if c.Version == "" {
		return newest(of, quarantined)
	}
	return named(of, c)
}

func newest(of []*store.Package, quarantined func(string) bool) (*store.Package, error) {
	free := slices.DeleteFunc(slices.Clone(of), func(p *store.Package) bool { return quarantined(p.Digest) })
	if len(free) == 0 {
		return nil, fmt.Errorf("every package of %s is quarantined since it failed: name a version to try it again", of[0].Component)
	}
	return slices.MaxFunc(free, func(a, b *store.Package) int {
		if n := store.CompareVersions(a.Version, b.Version); n != 0 {
			return n
		}
		return a.Added.Compare(b.Added)
	}), nil
}

// named finds a package by version or digest; a version that two packages bear does not name one.
func named(of []*store.Package, c Change) (*store.Package, error) {
	var found []*store.Package
	var versions []string
	for _, p := range of {
		versions = append(versions, p.Version)
		if p.Version == c.Version || len(c.Version) >= shortestDigest && strings.HasPrefix(p.Digest, c.Version) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("the store has no %s %s: it has %s", c.Component, c.Version, strings.Join(versions, ", "))
	case 1:
		return found[0], nil
	}
	var digests []string
	for _, p := range found {
		digests = append(digests, p.Digest[:12])
	}
	return nil, fmt.Errorf("%s %s names %d packages: say which by its digest: %s", c.Component, c.Version, len(found), strings.Join(digests, ", "))
}

// Find returns the one package that a text names: component=version, or a digest of at least 8 digits.
func Find(text string, have []*store.Package) (*store.Package, error) {
	if component, version, ok := strings.Cut(text, "="); ok {
		of := slices.DeleteFunc(slices.Clone(have), func(p *store.Package) bool { return p.Component != component })
		return named(of, Change{Component: component, Version: version})
	}
	var found []*store.Package
	for _, p := range have {
		if len(text) >= shortestDigest && strings.HasPrefix(p.Digest, text) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%q names no package of the store: want component=version, or a digest of at least %d digits", text, shortestDigest)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%q names %d packages: give more digits", text, len(found))
}
