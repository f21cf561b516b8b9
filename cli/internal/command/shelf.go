// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/semver"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// direction is which way a component shall go.
type direction int

const (
	newer direction = iota
	older
	gone
	anywhere
)

// wish is COMPONENT[=VERSION] as it was typed.
type wish struct{ component, version string }

func parseWishes(args []string) ([]wish, error) {
	var out []wish
	for _, a := range args {
		name, version, versioned := strings.Cut(a, "=")
		if name == "" || versioned && version == "" {
			return nil, fail.Usagef("%q: want %s, for example rib=1.1.0", a, componentArgument)
		}
		if slices.ContainsFunc(out, func(w wish) bool { return w.component == name }) {
			return nil, fail.Usagef("%s is named twice", name)
		}
		out = append(out, wish{name, version})
	}
	return out, nil
}

// shelf is what the device has: the packages in its store and the set that runs.
type shelf struct {
	packages map[string][]*pkgv1.Package
	running  map[string]*pkgv1.Member
}

func shelfOf(resp *pkgv1.ShowResponse) shelf {
	s := shelf{packages: map[string][]*pkgv1.Package{}, running: map[string]*pkgv1.Member{}}
	for _, p := range resp.GetPackages() {
		s.packages[p.GetComponent()] = append(s.packages[p.GetComponent()], p)
	}
	for _, m := range resp.GetRunning() {
		s.running[m.GetComponent()] = m
	}
	for _, packages := range s.packages {
		slices.SortFunc(packages, func(a, b *pkgv1.Package) int {
			return cmp.Or(semver.Compare(a.GetVersion(), b.GetVersion()), cmp.Compare(a.GetDigest(), b.GetDigest()))
		})
	}
	return s
}

// changes turns wishes into changes, and refuses what cannot be meant.
func (s shelf) changes(wishes []wish, way direction) ([]*pkgv1.Change, error) {
	var out []*pkgv1.Change
	for _, w := range wishes {
		if err := s.known(w); err != nil {
			return nil, err
		}
		change := &pkgv1.Change{Component: w.component, Version: w.version}
		var err error
		switch way {
		case gone:
			change.Remove, err = true, s.removable(w)
		case older:
			change.Version, err = s.older(w)
		case newer:
			err = s.newer(w)
		case anywhere:
		}
		if err != nil {
			return nil, err
		}
		out = append(out, change)
	}
	return out, nil
}

// known refuses components and versions that the device does not have, and says which it has.
func (s shelf) known(w wish) error {
	if len(s.packages[w.component]) == 0 && s.running[w.component] == nil {
		names := maps.Clone(s.running)
		for name := range s.packages {
			names[name] = nil
		}
		return fail.Refusef("bring its package with `ashlar install add`",
			"the device has no component %q: there are %s", w.component, strings.Join(sorted(names), ", "))
	}
	if w.version != "" && s.find(w) == nil {
		return fail.Refusef("bring its package with `ashlar install add`",
			"%s %s is not in the store: there are %s", w.component, w.version, s.versions(w.component))
	}
	return nil
}

// find returns the package of a version, or of a digest's first digits.
func (s shelf) find(w wish) *pkgv1.Package {
	const leastDigits = 8
	for _, p := range s.packages[w.component] {
		if p.GetVersion() == w.version || len(w.version) >= leastDigits && strings.HasPrefix(p.GetDigest(), w.version) {
			return p
		}
	}
	return nil
}

// versions lists the versions of a component in the store.
func (s shelf) versions(component string) string {
	var out []string
	for _, p := range s.packages[component] {
		text := p.GetVersion()
		if p.GetActive() {
			text += " (runs)"
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

func (s shelf) removable(w wish) error {
	switch {
	case w.version != "":
		return fail.Usagef("%s=%s: remove takes a component without a version; `ashlar install discard` removes packages from the store", w.component, w.version)
	case s.running[w.component] == nil:
		return fail.Refusef("", "%s does not run: there is nothing to remove", w.component)
	}
	return nil
}

// newer refuses a version below the one that runs.
func (s shelf) newer(w wish) error {
	runs := s.running[w.component]
	if w.version == "" || runs == nil {
		return nil
	}
	if p := s.find(w); semver.Compare(p.GetVersion(), runs.GetVersion()) < 0 {
		return fail.Refusef("`ashlar install downgrade "+w.component+"="+w.version+"` goes to an older version",
			"%s %s is older than %s, which runs", w.component, p.GetVersion(), runs.GetVersion())
	}
	return nil
}

// older chooses the newest version below the running one where none is named.
func (s shelf) older(w wish) (string, error) {
	runs := s.running[w.component]
	if runs == nil {
		return "", fail.Refusef("`ashlar install upgrade "+w.component+"` installs it", "%s does not run: there is nothing to downgrade", w.component)
	}
	if w.version != "" {
		if p := s.find(w); semver.Compare(p.GetVersion(), runs.GetVersion()) > 0 {
			return "", fail.Refusef("`ashlar install upgrade "+w.component+"="+w.version+"` goes to a newer version",
				"%s %s is newer than %s, which runs", w.component, p.GetVersion(), runs.GetVersion())
		}
		return w.version, nil
	}
	for _, p := range slices.Backward(s.packages[w.component]) {
		if semver.Compare(p.GetVersion(), runs.GetVersion()) < 0 {
			return p.GetVersion(), nil
		}
	}
	return "", fail.Refusef("bring one with `ashlar install add`",
		"the store has no version of %s older than %s, which runs: there are %s", w.component, runs.GetVersion(), s.versions(w.component))
}

// sorted are the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
