// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"net/netip"
	"slices"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
)

// Set makes paths the whole of what a source has for a prefix, stamped with the source's mark. The prefix
// has no host bits. NextHops may be reordered in place. It fails with a *FullError and no effect.
func (t *Table) Set(prefix netip.Prefix, source *Source, mark uint32, paths ...Path) error {
	e, known := t.entries.Get(prefix)
	sets, err := t.acquire(prefix, source, paths)
	if err != nil {
		return err
	}
	if known && t.repeat(e, source, mark, paths, sets) {
		return nil
	}
	if t.paths-own(e, source)+len(paths) > t.limits.Paths && !source.exempt {
		t.discard(sets)
		return &FullError{"paths", t.limits.Paths}
	}
	if !known {
		e = &entry{}
		e.Init(prefix)
		t.entries.Insert(prefix, e)
	} else {
		t.removePaths(e, func(p *path) bool { return p.source == source })
	}
	for i, s := range sets {
		t.addPath(e, &path{
			entry: e, set: s, source: source,
			metric: paths[i].Metric, mark: mark, distance: paths[i].Distance,
		})
	}
	t.changed(e)
	return nil
}

// Remove takes away what a source has for a prefix.
func (t *Table) Remove(prefix netip.Prefix, source *Source) {
	if e, ok := t.entries.Get(prefix); ok {
		if t.removePaths(e, func(p *path) bool { return p.source == source }) > 0 {
			t.changed(e)
		}
	}
}

// Sweep takes away every path of a source that is not stamped with mark, and returns how many.
func (t *Table) Sweep(source *Source, mark uint32) int {
	stale := func(p *path) bool { return p.source == source && p.mark != mark }
	removed := 0
	for _, e := range t.entries.All() {
		if n := t.removePaths(e, stale); n > 0 {
			removed += n
			t.changed(e)
		}
	}
	return removed
}

// own is the number of paths a source has for a prefix.
func own(e *entry, source *Source) int {
	n := 0
	if e != nil {
		for p := e.first; p != nil; p = p.next {
			if p.source == source {
				n++
			}
		}
	}
	return n
}

// repeat stamps the paths a source has when they are those given, and reports whether they are.
func (t *Table) repeat(e *entry, source *Source, mark uint32, paths []Path, sets []*set) bool {
	i := 0
	for p := e.first; p != nil; p = p.next {
		if p.source != source {
			continue
		}
		at := slices.IndexFunc(paths, func(q Path) bool { return q.Distance == p.distance && q.Metric == p.metric })
		if at < 0 || sets[at] != p.set {
			return false
		}
		i++
	}
	if i != len(paths) {
		return false
	}
	for p := e.first; p != nil; p = p.next {
		if p.source == source {
			p.mark = mark
		}
	}
	return true
}

func (t *Table) addPath(e *entry, p *path) {
	e.insert(p)
	p.set.link(p)
	p.source.paths++
	t.paths++
}

func (t *Table) removePaths(e *entry, gone func(*path) bool) int {
	removed := 0
	for p := e.first; p != nil; {
		next := p.next
		if gone(p) {
			e.remove(p)
			p.set.unlink(p)
			if p.set.count == 0 {
				t.emptySets = append(t.emptySets, p.set)
			}
			p.source.paths--
			t.paths--
			removed++
		}
		p = next
	}
	if removed > 0 {
		e.best = nil
	}
	return removed
}

// changed marks everything that could see a change of a prefix's paths.
func (t *Table) changed(e *entry) {
	t.soilEntry(e)
	for _, w := range t.watchedAddresses.Subnets(e.Prefix()) {
		t.soil(w)
	}
}

// acquire finds or makes the set of each path. The result is valid until the next call.
func (t *Table) acquire(prefix netip.Prefix, source *Source, paths []Path) ([]*set, error) {
	sets := t.scratch[:0]
	for _, p := range paths {
		s, err := t.intern(prefix, source, p)
		if err != nil {
			t.discard(sets)
			return nil, err
		}
		sets = append(sets, s)
	}
	t.scratch = sets
	return sets, nil
}

func (t *Table) intern(prefix netip.Prefix, source *Source, p Path) (*set, error) {
	hops := normal(p.NextHops)
	except := netip.Prefix{}
	if p.Kind == fib.Forward {
		except = selfCovered(prefix, hops)
	}
	t.key = appendKey(t.key[:0], p.Kind, hops, except)
	if s, ok := t.sets[string(t.key)]; ok {
		return s, nil
	}
	if len(t.sets) >= t.limits.Sets && !source.exempt {
		return nil, &FullError{"sets of next hops", t.limits.Sets}
	}
	s := &set{
		key: string(t.key), kind: p.Kind, hops: slices.Clone(hops), except: except,
		group: t.outbox.NewGroup(fib.Content{}),
	}
	t.sets[s.key] = s
	t.soilSet(s)
	return s, nil
}

// discard gives back sets that no path came to use.
func (t *Table) discard(sets []*set) {
	for _, s := range sets {
		if s.count == 0 {
			t.emptySets = append(t.emptySets, s)
		}
	}
}
