// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// Object is the configuration at one instance of an owner's pattern, as RFC 7951 JSON with defaults in use filled in.
// nil: nothing configured there.
type Object struct {
	Path schema.Path
	// Pattern is the index into the patterns given.
	Pattern  int
	Old, New []byte
}

// Objects groups the changes by the first pattern that covers them, in order of the changes. orphans are the changed
// leaves that no pattern covers.
func (c *Changes) Objects(patterns []schema.Path) (objects []Object, orphans []schema.Path) {
	seen := map[string]bool{}
	var last schema.Path
	for _, leaf := range c.leaves {
		i := covering(patterns, leaf.Path)
		if i < 0 {
			orphans = append(orphans, leaf.Path)
			continue
		}
		path := leaf.Path[:len(patterns[i])]
		if last != nil && path.Equal(last) {
			continue
		}
		last = path
		if key := path.String(); !seen[key] {
			seen[key] = true
			objects = append(objects, Object{Path: path, Pattern: i, Old: c.Old.object(path), New: c.New.object(path)})
		}
	}
	return objects, orphans
}

func covering(patterns []schema.Path, path schema.Path) int {
	for i, p := range patterns {
		if p.Covers(path) {
			return i
		}
	}
	return -1
}

// Objects lists every object that a pattern matches, with New set: an owner's snapshot. An instance that several patterns
// match is the first one's.
func (t *Tree) Objects(patterns []schema.Path) []Object {
	var objects []Object
	for i, pattern := range patterns {
		for _, path := range (View{t}).Find(pattern, OnlyConfig) {
			if covering(patterns, path) != i {
				continue
			}
			if doc := t.object(path); doc != nil {
				objects = append(objects, Object{Path: path, Pattern: i, New: doc})
			}
		}
	}
	return objects
}

// object is the JSON at a path; nil when nothing is set there, whatever defaults would say.
func (t *Tree) object(path schema.Path) []byte {
	if !t.has(path) {
		return nil
	}
	doc, _ := View{t}.RenderJSON(path, OnlyConfig, schema.JSONIETF)
	return doc
}

// has reports whether something is set at a complete path.
func (t *Tree) has(path schema.Path) bool {
	if len(path) == 0 {
		return !t.Empty()
	}
	n := path[len(path)-1].Node
	if n.Kind() == schema.List {
		return reach(t.root, path) != nil
	}
	in := reach(t.root, path[:len(path)-1])
	return in != nil && (n.IsKey() || in.child(n) != nil)
}
