// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/goyang/pkg/yang"
)

// compiler turns parsed modules into a Model.
type compiler struct {
	set     *yang.Modules
	model   *Model
	modules map[string]*Module
	// sources are the parsed nodes behind the compiled ones.
	sources map[*Node]*yang.Entry
	errs    []error
}

func newCompiler(set *yang.Modules) *compiler {
	root := &Node{kind: Container, class: Config, path: "/", byName: map[string]*Node{}}
	return &compiler{
		set: set, model: &Model{root: root},
		modules: map[string]*Module{}, sources: map[*Node]*yang.Entry{},
	}
}

func (c *compiler) fail(path, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("YANG %s: %s", path, fmt.Sprintf(format, args...)))
}

// compile goes in passes, because types refer to other nodes: the tree, the keys, the references, the types, the defaults.
func (c *compiler) compile() []error {
	for _, m := range sorted(c.set) {
		compiled := newModule(m)
		c.modules[m.Name] = compiled
		c.model.modules = append(c.model.modules, compiled)
	}
	for _, m := range sorted(c.set) {
		top := yang.ToEntry(m)
		c.errs = append(c.errs, top.GetErrors()...)
		for _, child := range top.Dir {
			c.add(c.model.root, child)
		}
	}
	if len(c.errs) == 0 {
		c.order(c.model.root)
	}
	for _, pass := range []func(*Node){c.references, c.types, c.mirrors, c.defaults} {
		if len(c.errs) == 0 {
			c.each(c.model.root, pass)
		}
	}
	c.sources = nil
	return c.errs
}

// each visits children before parents.
func (c *compiler) each(n *Node, visit func(*Node)) {
	for _, child := range n.children {
		c.each(child, visit)
	}
	visit(n)
}

func (c *compiler) add(parent *Node, e *yang.Entry) {
	if e.RPC != nil || e.Kind == yang.NotificationEntry {
		return
	}
	n := &Node{name: e.Name, elem: &gnmi.PathElem{Name: e.Name}, parent: parent, path: strings.TrimSuffix(parent.path, "/") + "/" + e.Name, depth: parent.depth + 1}
	if !c.admit(n, e) {
		return
	}
	owner, err := e.InstantiatingModule()
	if err != nil {
		c.fail(n.path, "its module: %v", err)
		return
	}
	n.module = c.modules[owner]
	n.class = Config
	if e.ReadOnly() {
		n.class = Operational
	}
	if parent.byName[n.name] != nil {
		c.fail(n.path, "two modules have a node of this name here, and gNMI paths could not tell them apart")
		return
	}
	parent.byName[n.name] = n
	parent.children = append(parent.children, n)
	c.sources[n] = e
	if !n.IsLeaf() {
		n.byName = map[string]*Node{}
		for _, child := range e.Dir {
			c.add(n, child)
		}
	}
}

// admit finds the kind and refuses what is not enforced.
func (c *compiler) admit(n *Node, e *yang.Entry) bool {
	switch {
	case e.IsList():
		n.kind = List
	case e.IsLeafList():
		n.kind = LeafList
	case e.IsLeaf():
		n.kind = Leaf
	case e.IsContainer():
		n.kind = Container
		n.presence = len(e.Extra["presence"]) > 0
	default:
		c.fail(n.path, "this kind of node (choice, case, anydata, anyxml) is not supported")
		return false
	}
	for _, what := range []string{"must", "when", "unique", "if-feature"} {
		if len(e.Extra[what]) > 0 {
			c.fail(n.path, "the statement %q is not supported", what)
			return false
		}
	}
	n.mandatory = e.Mandatory.Value() && n.kind == Leaf
	if e.ListAttr == nil {
		return true
	}
	if e.ListAttr.MinElements != 0 || (e.ListAttr.MaxElements != 0 && e.ListAttr.MaxElements != ^uint64(0)) {
		c.fail(n.path, "min-elements and max-elements are not supported")
		return false
	}
	if n.kind == List && e.ListAttr.OrderedByUser {
		c.fail(n.path, "a list ordered by the user is not supported")
		return false
	}
	return true
}

// order puts keys first, the rest by name, and numbers the children.
func (c *compiler) order(n *Node) {
	if n.kind == List {
		for key := range strings.FieldsSeq(c.sources[n].Key) {
			leaf := n.byName[key]
			if leaf == nil || leaf.kind != Leaf {
				c.fail(n.path, "its key %q is no leaf in it", key)
				return
			}
			leaf.isKey = true
			n.keys = append(n.keys, leaf)
		}
		if len(n.keys) == 0 {
			c.fail(n.path, "a list without key is not supported")
			return
		}
	}
	rank := func(m *Node) int {
		if at := slices.Index(n.keys, m); at >= 0 {
			return at
		}
		return len(n.keys)
	}
	slices.SortFunc(n.children, func(a, b *Node) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.name, b.name))
	})
	for i, child := range n.children {
		child.index = i
		c.order(child)
	}
}

// mirrors links keys to the leaves they refer to, and finds state that stands for configuration.
func (c *compiler) mirrors(n *Node) {
	if n.isKey && n.ref != nil && n.ref.target.parent != nil && n.ref.target.parent.parent == n.parent {
		n.mirror, n.ref.target.mirror = n.ref.target, n
	}
	if n.ref != nil && n.mirror == nil && n.class == Config && n.ref.target.class == Config && n.ref.required {
		n.ref.target.referrers = append(n.ref.target.referrers, n)
	}
	if !n.IsLeaf() || n.class == Config || n.parent.name != "state" || n.parent.parent == nil {
		return
	}
	if twin := n.parent.parent.byName["config"]; twin != nil && twin.class == Config && twin.byName[n.name] != nil {
		n.class = Applied
	}
}

// defaults decodes default values and notes what has some below.
func (c *compiler) defaults(n *Node) {
	switch n.kind {
	case Leaf:
		text, ok := c.sources[n].SingleDefaultValue()
		if !ok {
			return
		}
		if n.typ.identities != nil {
			// Here the prefix is YANG's, not the module's name.
			text = text[strings.IndexByte(text, ':')+1:]
		}
		v, err := n.DecodeText(n.path, text)
		if err != nil {
			c.fail(n.path, "its default: %v", err)
			return
		}
		n.def, n.hasDef = v, true
		n.defaults = n.class == Config
	case LeafList:
		if len(c.sources[n].DefaultValues()) > 0 {
			c.fail(n.path, "defaults of leaf-lists are not supported")
		}
	default:
		for _, child := range n.children {
			n.defaults = n.defaults || child.defaults && child.kind != List
			n.demands = n.demands || child.demands && child.kind != List || child.mandatory && child.class == Config
		}
	}
}
