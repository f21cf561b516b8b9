// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// RenderJSON writes the value at one path, complete up to its last step: an object for a container or list entry, an
// array for a list without all its keys, the bare value for a leaf (gNMI 0.11 §2.3.1). enc is schema.JSON or
// schema.JSONIETF; with the latter the names at the top carry their module, and those below where it changes (RFC 7951
// §4). A list entry has its keys whatever the filter. ok is false when nothing passes the filter.
func (v View) RenderJSON(p schema.Path, f Filter, enc schema.Encoding) (doc []byte, ok bool) {
	return v.RenderLevels(p, f, enc, 0)
}

// RenderLevels is RenderJSON for at most some levels below the path: 1 is the leaves right below it. 0 is all of it.
func (v View) RenderLevels(p schema.Path, f Filter, enc schema.Encoding, levels uint32) (doc []byte, ok bool) {
	return renderer{view: v, filter: f, enc: enc, defaults: true, levels: levels}.render(p)
}

type renderer struct {
	view     View
	filter   Filter
	enc      schema.Encoding
	defaults bool
	levels   uint32
}

func (r renderer) render(p schema.Path) (doc []byte, ok bool) {
	if len(r.view) == 0 {
		return nil, false
	}
	w := &writing{walker: newWalker(r.view, r.filter, len(p)), enc: r.enc, levels: r.levels}
	w.plain = !r.defaults
	model := r.view[0].model
	array := len(p) > 0 && p[len(p)-1].Node.Kind() == schema.List && !p[len(p)-1].Complete()
	w.arrive = func(n *schema.Node, at layers, configured bool) bool {
		switch {
		case n.IsLeaf():
			ok = w.value(n, at, configured)
			if ok {
				w.out = w.leaf.Value.AppendJSON(w.out, w.enc)
			}
		case array:
			ok = w.item(n, at, configured, nil) || ok
		default:
			ok = w.object(n, at, configured, nil)
		}
		return true
	}
	root, configured := r.view.roots()
	if array {
		w.out = append(w.out, '[')
	}
	w.descend(model.Root(), root, p, configured)
	if array {
		w.out = append(w.out, ']')
	}
	return w.out, ok
}

// writing is a walk that writes JSON.
type writing struct {
	*walker
	enc schema.Encoding
	out []byte
	// levels is how many there may be below the path, 0 for any number; level is the one of the object being written.
	levels, level uint32
}

// deep reports whether what lies below the children of the object being written is too far down.
func (w *writing) deep() bool { return w.levels > 0 && w.level >= w.levels }

// object writes a container or entry; it writes nothing and returns false when nothing but keys would be in it, unless the
// existence of the thing is itself configuration.
func (w *writing) object(n *schema.Node, at layers, configured bool, outer *schema.Module) bool {
	start := len(w.out)
	w.level++
	defer func() { w.level-- }()
	w.out = append(w.out, '{')
	wrote := w.exists(n, configured)
	for _, child := range n.Children() {
		wrote = w.child(child, at, configured, outer) || wrote
	}
	if !wrote {
		w.out = w.out[:start]
		return false
	}
	w.out = append(w.out, '}')
	return true
}

func (w *writing) exists(n *schema.Node, configured bool) bool {
	return n.Config() && w.filter.admits(schema.Config) && configured && (n.Kind() == schema.List || n.Presence())
}

// child writes a member. Keys are written always, and do not count.
func (w *writing) child(n *schema.Node, at layers, configured bool, outer *schema.Module) bool {
	start := len(w.out)
	w.name(n, outer)
	wrote, counts := false, true
	switch {
	case n.IsKey():
		for _, b := range at {
			if b != nil {
				w.out = b.key(n).AppendJSON(w.out, w.enc)
				break
			}
		}
		wrote, counts = true, w.filter.admits(n.Class()) && !n.Config()
	case n.IsLeaf():
		if wrote = w.value(n, at, configured); wrote {
			w.out = w.leaf.Value.AppendJSON(w.out, w.enc)
		}
	case w.deep():
	case n.Kind() == schema.List:
		w.out = append(w.out, '[')
		w.entries(n, at, schema.Step{Node: n}, func(at layers, configured bool) bool {
			wrote = w.item(n, at, configured, n.Module()) || wrote
			return true
		})
		w.out = append(w.out, ']')
	default:
		w.container(n, at, configured, func(at layers, configured bool) bool {
			wrote = w.object(n, at, configured, n.Module())
			return true
		})
	}
	if !wrote {
		w.out = w.out[:start]
	}
	return wrote && counts
}

// item writes an entry into an array.
func (w *writing) item(n *schema.Node, at layers, configured bool, outer *schema.Module) bool {
	start := len(w.out)
	if w.out[start-1] != '[' {
		w.out = append(w.out, ',')
	}
	if !w.object(n, at, configured, outer) {
		w.out = w.out[:start]
		return false
	}
	return true
}

// name writes a member's name, after a comma where one is due.
func (w *writing) name(n *schema.Node, outer *schema.Module) {
	if w.out[len(w.out)-1] != '{' {
		w.out = append(w.out, ',')
	}
	w.out = append(w.out, '"')
	if w.enc == schema.JSONIETF && n.Module() != outer {
		w.out = append(append(w.out, n.Module().Name...), ':')
	}
	w.out = append(append(w.out, n.Name()...), '"', ':')
}
