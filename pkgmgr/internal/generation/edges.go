// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package generation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

// edges knows who provides what in a set of components.
type edges struct {
	members map[string]*manifest.Manifest
	names   []string
	self    string
	roster  roster.Roster
}

func newEdges(components []Component, self *manifest.Manifest) *edges {
	e := &edges{members: map[string]*manifest.Manifest{}, self: self.Name}
	e.add(self)
	for _, c := range components {
		e.add(c.Manifest)
	}
	return e
}

func (e *edges) add(m *manifest.Manifest) {
	e.members[m.Name] = m
	e.names = append(e.names, m.Name)
	e.roster.Components = append(e.roster.Components, roster.Component{Name: m.Name, Provides: m.Provides})
}

// shared reports whether a contract is one that every component serves, so that it has no one owner.
func (e *edges) shared(contract string) bool {
	_, single := e.roster.Provider(contract)
	return !single && len(e.roster.Providers(contract)) > 0
}

// checkProviders finds contracts with more than one owner.
func (e *edges) checkProviders() []error {
	var faults []error
	owner := map[string]string{}
	for _, name := range e.names {
		for _, p := range e.members[name].Provides {
			if other, taken := owner[p.Contract]; taken && !e.shared(p.Contract) {
				faults = append(faults, fmt.Errorf("%s and %s both provide %s: a contract has one owner on a device", other, name, p.Contract))
			}
			owner[p.Contract] = name
		}
	}
	return faults
}

// checkSockets finds addresses that two components listen on.
func (e *edges) checkSockets() []error {
	var faults []error
	owner := map[string]string{"supervisor.fds.sock": e.self, "roster.json": e.self}
	for _, name := range e.names {
		owner[name+".life.a.sock"], owner[name+".life.b.sock"] = e.self, e.self
	}
	for _, name := range e.names {
		for _, s := range e.members[name].Sockets {
			address := s.Unix + s.TCP
			if other, taken := owner[address]; taken {
				faults = append(faults, fmt.Errorf("%s and %s both listen on %s", other, name, address))
			}
			owner[address] = name
		}
	}
	return faults
}

// after returns which components a member is started after, and what is wrong with its requirements.
func (e *edges) after(m *manifest.Manifest) (names []string, faults []error) {
	for _, q := range m.Requires {
		if e.shared(q.Contract) {
			continue
		}
		provider, ok := e.roster.Provider(q.Contract)
		switch {
		case !ok && !q.Optional:
			faults = append(faults, fmt.Errorf("%s requires %s and nobody provides it", m.Name, q.Contract))
			continue
		case !ok:
			continue
		}
		level, _ := e.members[provider.Name].Level(q.Contract)
		if !q.Levels.Contains(level) && q.Optional {
			continue // as if it were not there: the component works without
		}
		if !q.Levels.Contains(level) {
			faults = append(faults, fmt.Errorf("%s requires %s at level %s and %s provides level %d", m.Name, q.Contract, q.Levels, provider.Name, level))
		}
		if !q.Optional {
			names = append(names, provider.Name)
		}
	}
	for _, a := range m.Start.After {
		if _, ok := e.members[a]; ok {
			names = append(names, a)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	// The supervisor is there before anyone; nobody waits for it.
	return slices.DeleteFunc(names, func(n string) bool { return n == e.self }), faults
}

// warnings are names in manifests that nobody bears: the order they ask for cannot matter.
func (e *edges) warnings() []string {
	var out []string
	for _, name := range e.names {
		m := e.members[name]
		for key, list := range map[string][]string{"start.after": m.Start.After, "restart.rest_for_one": m.Restart.RestForOne} {
			for _, n := range list {
				if _, ok := e.members[n]; !ok {
					out = append(out, fmt.Sprintf("%s: %s names %q, which is not in the generation", name, key, n))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// sortByStart orders the components so that each comes after those it needs, by name where that leaves a choice.
func sortByStart(components []Component) ([]Component, error) {
	slices.SortFunc(components, func(a, b Component) int { return strings.Compare(a.Name(), b.Name()) })
	placed := map[string]bool{}
	var out []Component
	for len(out) < len(components) {
		before := len(out)
		for _, c := range components {
			if !placed[c.Name()] && all(c.After, placed) {
				placed[c.Name()] = true
				out = append(out, c)
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("the components wait for each other: %s", cycle(components, placed))
		}
	}
	return out, nil
}

func all(names []string, in map[string]bool) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return !in[n] })
}

// cycle names one circle among the components that could not be placed.
func cycle(components []Component, placed map[string]bool) string {
	next := map[string]string{}
	var name string
	for _, c := range components {
		for _, a := range c.After {
			if !placed[c.Name()] && !placed[a] {
				next[c.Name()] = a
				if name == "" {
					name = c.Name()
				}
			}
		}
	}
	var path []string
	for !slices.Contains(path, name) {
		path = append(path, name)
		name = next[name]
	}
	path = append(path[slices.Index(path, name):], name)
	return strings.Join(path, " needs ")
}
