// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"maps"
	"slices"
	"strings"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// Origin is the one origin that is served; the empty origin means the same (gNMI 0.11 §2.7.1).
const Origin = "openconfig"

// Join is prefix + path (gNMI 0.11 §2.2.2): the elements one after the other, the origin from either, but not from both
// (§2.7). The result has no target. A nil prefix or path is empty. Fails with BadPath.
func Join(prefix, path *gnmi.Path) (*gnmi.Path, error) {
	if prefix.GetOrigin() != "" && path.GetOrigin() != "" {
		return nil, refuse(BadPath, gpath.String(path), "an origin is given in the prefix and in the path")
	}
	for _, p := range []*gnmi.Path{prefix, path} {
		if err := checkElements(p); err != nil {
			return nil, err
		}
	}
	if prefix == nil && path != nil && path.GetTarget() == "" {
		return path, nil
	}
	return &gnmi.Path{
		Origin: prefix.GetOrigin() + path.GetOrigin(),
		Elem:   slices.Concat(prefix.GetElem(), path.GetElem()),
	}, nil
}

// Resolve binds a gNMI path (already joined with its prefix) to the model. Keys may be absent or "*"; element names may
// not be wildcards. Fails with BadPath, UnknownPath (naming the element and the nearest name), BadValue for a key's
// value, or Unsupported for an origin other than "" and "openconfig".
func (m *Model) Resolve(p *gnmi.Path) (Path, error) {
	if err := checkOrigin(p); err != nil {
		return nil, err
	}
	out := make(Path, 0, len(p.GetElem()))
	at := m.root
	for i, elem := range p.GetElem() {
		child := at.byName[elem.GetName()]
		if child == nil {
			return nil, unknown(p, i, at)
		}
		step, err := bind(p, i, child)
		if err != nil {
			return nil, err
		}
		out = append(out, step)
		at = child
	}
	return out, nil
}

func checkOrigin(p *gnmi.Path) error {
	if o := p.GetOrigin(); o != "" && o != Origin {
		return refuse(Unsupported, gpath.String(p), "the origin %q is not supported; use %q or none", o, Origin)
	}
	return checkElements(p)
}

// checkElements refuses paths in the form before gNMI 0.4, so that they are not taken for the root.
func checkElements(p *gnmi.Path) error {
	//lint:ignore SA1019 it is refused
	if len(p.GetElem()) == 0 && len(p.GetElement()) > 0 {
		return refuse(BadPath, "/", "the deprecated field element is not supported; use elem")
	}
	return nil
}

// bind makes the step for element i.
func bind(p *gnmi.Path, i int, n *Node) (Step, error) {
	given := p.GetElem()[i].GetKey()
	if len(given) == 0 {
		return Step{Node: n}, nil
	}
	if n.kind != List {
		return Step{}, refuse(BadPath, upTo(p, i), "%s is no list and takes no keys", n.name)
	}
	step := Step{Node: n, Keys: make([]Key, len(n.keys))}
	used := 0
	for k, leaf := range n.keys {
		text, ok := given[leaf.name]
		if ok {
			used++
		}
		if !ok || text == gpath.Wildcard {
			step.Keys[k].Any = true
			continue
		}
		v, ok := leaf.typ.decodeText(text, anyType)
		if !ok {
			return Step{}, refuse(BadValue, upTo(p, i), "key %s: %s", leaf.name, leaf.typ.complaint(text))
		}
		step.Keys[k].Value = v
	}
	if used < len(given) {
		return Step{}, unknownKey(p, i, n)
	}
	return step, nil
}

func unknownKey(p *gnmi.Path, i int, n *Node) error {
	names := make([]string, len(n.keys))
	for k, leaf := range n.keys {
		names[k] = leaf.name
	}
	for _, name := range slices.Sorted(maps.Keys(p.GetElem()[i].GetKey())) {
		if !slices.Contains(names, name) {
			return refuse(BadPath, upTo(p, i), "%s has no key %q; its keys: %s", n.name, name, strings.Join(names, ", "))
		}
	}
	return refuse(BadPath, upTo(p, i), "the keys of %s are: %s", n.name, strings.Join(names, ", "))
}

// unknown is the error for element i, which is not below at.
func unknown(p *gnmi.Path, i int, at *Node) error {
	name := p.GetElem()[i].GetName()
	where := upTo(p, i)
	switch module, local, qualified := strings.Cut(name, ":"); {
	case name == "":
		return refuse(BadPath, where, "an element has no name")
	case name == gpath.Wildcard || name == gpath.Deep:
		return refuse(BadPath, where, "%q may not stand for a name here", name)
	case qualified && at.byName[local] != nil:
		return refuse(BadPath, where, "paths carry no module name: write %s without %q", local, module+":")
	case at.IsLeaf():
		return refuse(UnknownPath, where, "nothing is below the leaf %s", at.name)
	}
	return at.missing(where, name)
}

// Unknown is the error for a name that is not below the node, which is at path: it names the nearest that is.
func (n *Node) Unknown(path, name string) error {
	return n.missing(strings.TrimSuffix(path, "/")+"/"+name, name)
}

func (n *Node) missing(path, name string) error {
	if near := nearest(name, n); near != "" {
		return refuse(UnknownPath, path, "the model has no %q here; did you mean %q?", name, near)
	}
	return refuse(UnknownPath, path, "the model has no %q here", name)
}

// upTo writes the path up to and with element i.
func upTo(p *gnmi.Path, i int) string {
	return gpath.String(&gnmi.Path{Elem: p.GetElem()[:i+1]})
}

// nearest is the child whose name is most like the given one, if any is like it.
func nearest(name string, at *Node) string {
	best, least := "", len(name)/3+2
	for _, child := range at.children {
		if d := distance(name, child.name); d < least {
			best, least = child.name, d
		}
	}
	return best
}

// distance is the number of characters to insert, delete or change (Levenshtein). Long names are never near.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
