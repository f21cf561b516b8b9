// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// maxElements bounds the work that a path with many "..." makes; models are nowhere near as deep.
const maxElements = 128

// Match is Resolve for paths that may also have "*" (one level) or "..." (any number of levels, also none) as elements:
// every path that fits, none of them below another, in schema order. At the end "..." stands for everything below.
// Fails as Resolve does, with UnknownPath when nothing fits.
func (m *Model) Match(p *gnmi.Path) ([]Path, error) {
	if !wild(p) {
		one, err := m.Resolve(p)
		if err != nil {
			return nil, err
		}
		return []Path{one}, nil
	}
	if err := checkOrigin(p); err != nil {
		return nil, err
	}
	if len(p.GetElem()) > maxElements {
		return nil, refuse(BadPath, "/", "a path with wildcards has at most %d elements", maxElements)
	}
	w := &matcher{p: p, seen: map[place]bool{}}
	if err := w.match(0, m.root, nil); err != nil {
		return nil, err
	}
	if len(w.found) == 0 {
		return nil, refuse(UnknownPath, gpath.String(p), "the model has nothing that matches")
	}
	return w.topmost(), nil
}

func wild(p *gnmi.Path) bool {
	for _, e := range p.GetElem() {
		if e.GetName() == gpath.Wildcard || e.GetName() == gpath.Deep {
			return true
		}
	}
	return false
}

// matcher collects the places where a pattern ends.
type matcher struct {
	p     *gnmi.Path
	found []Path
	// seen keeps several "..." from visiting the same place again and again.
	seen map[place]bool
}

type place struct {
	element int
	node    *Node
}

func (w *matcher) match(i int, at *Node, so Path) error {
	if w.seen[place{i, at}] {
		return nil
	}
	w.seen[place{i, at}] = true
	elems := w.p.GetElem()
	if i == len(elems) {
		w.found = append(w.found, append(Path(nil), so...))
		return nil
	}
	name := elems[i].GetName()
	if name == gpath.Deep {
		if i == len(elems)-1 {
			return w.match(i+1, at, so)
		}
		if err := w.match(i+1, at, so); err != nil {
			return err
		}
	}
	for _, child := range at.children {
		if err := w.descend(i, child, so); err != nil {
			return err
		}
	}
	return nil
}

// descend takes one child, when element i allows it.
func (w *matcher) descend(i int, child *Node, so Path) error {
	switch name := w.p.GetElem()[i].GetName(); name {
	case gpath.Deep:
		return w.match(i, child, append(so, Step{Node: child}))
	case gpath.Wildcard, child.name:
		if name == gpath.Wildcard && !takes(child, w.p.GetElem()[i]) {
			return nil
		}
		step, err := bind(w.p, i, child)
		if err != nil {
			return err
		}
		return w.match(i+1, child, append(so, step))
	}
	return nil
}

// takes reports whether a node can have the keys that a wildcard element carries.
func takes(n *Node, e *gnmi.PathElem) bool {
	for name := range e.GetKey() {
		if key := n.byName[name]; n.kind != List || key == nil || !key.isKey {
			return false
		}
	}
	return true
}

// topmost drops paths that are below another.
func (w *matcher) topmost() []Path {
	var out []Path
	for _, p := range w.found {
		covered := false
		for _, q := range w.found {
			covered = covered || (len(q) < len(p) && q.Covers(p))
		}
		if !covered {
			out = append(out, p)
		}
	}
	return out
}
