// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import gnmi "github.com/openconfig/gnmi/proto/gnmi"

// NodeKind is what a schema node is.
type NodeKind uint8

const (
	Container NodeKind = iota + 1
	List
	Leaf
	LeafList
)

// Class sorts leaves for the Type of a gNMI Get.
type Class uint8

const (
	// Config: configuration (config true).
	Config Class = iota + 1
	// Applied: state that mirrors a configuration leaf, for example state/mtu beside config/mtu.
	Applied
	// Operational: state with no configuration leaf.
	Operational
)

// Node is one node of the schema. All methods are pure. Module prefixes, choices and groupings are resolved away.
type Node struct {
	name       string
	module     *Module
	kind       NodeKind
	class      Class
	parent     *Node
	children   []*Node
	byName     map[string]*Node
	index      int
	depth      int
	keys       []*Node
	isKey      bool
	mirror     *Node
	presence   bool
	typ        *Type
	def        Value
	hasDef     bool
	defaults   bool
	referrers  []*Node
	dependents []*Node
	ref        *Reference
	path       string
	mandatory  bool
	demands    bool
	elem       *gnmi.PathElem
}

// Module is one YANG module.
type Module struct {
	Name, Namespace, Prefix, Organization string
	// Version is the openconfig-version, or the newest revision where there is none.
	Version string
}

func (n *Node) Name() string    { return n.name }
func (n *Node) Module() *Module { return n.module }
func (n *Node) Kind() NodeKind  { return n.kind }
func (n *Node) Class() Class    { return n.class }

// Config reports whether the node is configuration; what is not is state, read-only.
func (n *Node) Config() bool  { return n.class == Config }
func (n *Node) Parent() *Node { return n.parent }

// IsLeaf reports whether the node holds a value: a leaf or a leaf-list.
func (n *Node) IsLeaf() bool { return n.kind == Leaf || n.kind == LeafList }

// Index is the place among the parent's Children.
func (n *Node) Index() int { return n.index }

// Children are in schema order: a list's keys first, then by name. The slice is shared: do not change it.
func (n *Node) Children() []*Node { return n.children }

// Child is nil when there is none of that name (without module prefix).
func (n *Node) Child(name string) *Node { return n.byName[name] }

// Keys are a list's key leaves in the order of its key statement.
func (n *Node) Keys() []*Node { return n.keys }

// IsKey reports whether the node is a key leaf of its list.
func (n *Node) IsKey() bool { return n.isKey }

// Mirror: of a key leaf, the leaf it refers to inside the same entry (name → config/name); of that leaf, the key. Else nil.
func (n *Node) Mirror() *Node { return n.mirror }

// Presence reports whether a container's existence means something by itself.
func (n *Node) Presence() bool { return n.presence }

// Type is nil for containers and lists.
func (n *Node) Type() *Type { return n.typ }

// Default is the value in use when a configuration leaf is not set. ok is false when there is none.
func (n *Node) Default() (v Value, ok bool) { return n.def, n.hasDef }

// HasDefaults reports whether a configuration default is here or below, not counting inside lists.
func (n *Node) HasDefaults() bool { return n.defaults }

// Mandatory reports whether configuration around the leaf must have it.
func (n *Node) Mandatory() bool { return n.mandatory }

// Demands reports whether a mandatory configuration leaf is below, not counting inside lists.
func (n *Node) Demands() bool { return n.demands }

// Referrers are the configuration leaves whose leafref points at this leaf and must find it.
func (n *Node) Referrers() []*Node { return n.referrers }

// Dependents are the leaves whose leafref has a predicate that reads this leaf.
func (n *Node) Dependents() []*Node { return n.dependents }

// Path is the schema path, without keys: /interfaces/interface/config/mtu. The root's is "/".
func (n *Node) Path() string { return n.path }
