// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"slices"
	"strings"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// matcher finds the watchers of a leaf in time proportional to the leaf's depth, however many watchers
// there are: a trie over the steps of what they watch. The feed's lock guards it.
type matcher struct {
	root  *spot
	paths map[*Watcher][]schema.Path
	// dirty watchers have something new since the last wake.
	dirty []*Watcher
}

// spot is a place in the trie.
type spot struct {
	here  []*Watcher
	nodes map[*schema.Node]*fork
}

// fork separates the entries of a list: watched by all keys, by none, or by some of several.
type fork struct {
	any   *spot
	exact map[string]*spot
	some  []partial
}

// partial is a step with some of its keys said.
type partial struct {
	keys []schema.Key
	to   *spot
}

func newMatcher() *matcher { return &matcher{root: &spot{}, paths: map[*Watcher][]schema.Path{}} }

func (m *matcher) empty() bool { return len(m.paths) == 0 }

func (m *matcher) add(w *Watcher, paths []schema.Path) {
	m.paths[w] = paths
	for _, path := range paths {
		at := m.root
		for _, step := range path {
			at = at.grow(step)
		}
		at.here = append(at.here, w)
	}
}

// remove takes a watcher out and prunes what nobody watches any more.
func (m *matcher) remove(w *Watcher) {
	for _, path := range m.paths[w] {
		m.root.prune(path, w)
	}
	delete(m.paths, w)
}

func (m *matcher) wake() {
	for _, w := range m.dirty {
		w.wake()
	}
	m.dirty = m.dirty[:0]
}

// each calls fn for the watchers of a leaf; for one that watches it twice, twice.
func (m *matcher) each(path schema.Path, fn func(*Watcher)) { m.root.each(path, fn) }

func (s *spot) each(path schema.Path, fn func(*Watcher)) {
	for _, w := range s.here {
		fn(w)
	}
	if len(path) == 0 || s.nodes == nil {
		return
	}
	f := s.nodes[path[0].Node]
	if f == nil {
		return
	}
	if f.any != nil {
		f.any.each(path[1:], fn)
	}
	if len(f.exact) > 0 && len(path[0].Keys) > 0 {
		if next := f.exact[keyText(path[0].Keys)]; next != nil {
			next.each(path[1:], fn)
		}
	}
	for _, p := range f.some {
		if covers(p.keys, path[0].Keys) {
			p.to.each(path[1:], fn)
		}
	}
}

// grow returns the spot behind a step, made if need be.
func (s *spot) grow(step schema.Step) *spot {
	if s.nodes == nil {
		s.nodes = map[*schema.Node]*fork{}
	}
	f := s.nodes[step.Node]
	if f == nil {
		f = &fork{}
		s.nodes[step.Node] = f
	}
	if next := f.find(step.Keys); next != nil {
		return next
	}
	next := &spot{}
	switch said(step.Keys) {
	case 0:
		f.any = next
	case len(step.Keys):
		if f.exact == nil {
			f.exact = map[string]*spot{}
		}
		f.exact[keyText(step.Keys)] = next
	default:
		f.some = append(f.some, partial{keys: step.Keys, to: next})
	}
	return next
}

func (f *fork) find(keys []schema.Key) *spot {
	switch said(keys) {
	case 0:
		return f.any
	case len(keys):
		return f.exact[keyText(keys)]
	}
	for _, p := range f.some {
		if sameKeys(p.keys, keys) {
			return p.to
		}
	}
	return nil
}

// prune takes a watcher out below s and reports whether s is bare.
func (s *spot) prune(path schema.Path, w *Watcher) (bare bool) {
	if len(path) == 0 {
		if i := slices.Index(s.here, w); i >= 0 {
			s.here = slices.Delete(s.here, i, i+1)
		}
		return s.bare()
	}
	f := s.nodes[path[0].Node]
	if f == nil {
		return s.bare()
	}
	if next := f.find(path[0].Keys); next != nil && next.prune(path[1:], w) {
		f.drop(path[0].Keys, next)
	}
	if f.any == nil && len(f.exact) == 0 && len(f.some) == 0 {
		delete(s.nodes, path[0].Node)
	}
	return s.bare()
}

func (s *spot) bare() bool { return len(s.here) == 0 && len(s.nodes) == 0 }

func (f *fork) drop(keys []schema.Key, gone *spot) {
	switch said(keys) {
	case 0:
		f.any = nil
	case len(keys):
		delete(f.exact, keyText(keys))
	default:
		f.some = slices.DeleteFunc(f.some, func(p partial) bool { return p.to == gone })
	}
}

// said counts the keys that have a value.
func said(keys []schema.Key) int {
	n := 0
	for _, k := range keys {
		if !k.Any {
			n++
		}
	}
	return n
}

func covers(pattern, keys []schema.Key) bool {
	for i, k := range pattern {
		if !k.Any && (i >= len(keys) || !k.Value.Equal(keys[i].Value)) {
			return false
		}
	}
	return true
}

func sameKeys(a, b []schema.Key) bool {
	return slices.EqualFunc(a, b, func(x, y schema.Key) bool {
		return x.Any == y.Any && (x.Any || x.Value.Equal(y.Value))
	})
}

// keyText is a list entry's keys as one text; NUL cannot occur in a YANG string.
func keyText(keys []schema.Key) string {
	if len(keys) == 1 {
		return keys[0].Value.String()
	}
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(k.Value.String())
		b.WriteByte(0)
	}
	return b.String()
}
