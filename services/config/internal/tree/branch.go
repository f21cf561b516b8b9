// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sort"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// leaf is a value. It is never changed, only replaced.
type leaf struct {
	value schema.Value
	// at is in nanoseconds since the Unix epoch.
	at int64
	// by and epoch: see StateEdit; 0 in configuration.
	by    Publisher
	epoch uint32
}

// branch is a container, an entry of a list, or the root. It is changed only by the transaction that owns it.
type branch struct {
	owner *token
	// keys of a list entry, in the order of the list's keys. The key leaves are not among the kids.
	keys []schema.Value
	at   int64
	// kids are in schema order, only those that are there.
	kids []kid
}

// kid is a child: a *leaf, a *branch or a *list.
type kid struct {
	node *schema.Node
	item any
}

// list holds the entries of a list.
type list struct {
	owner *token
	root  *node[*branch]
}

// order compares entries by their keys.
func (b *branch) order(c *branch) int {
	return slices.CompareFunc(b.keys, c.keys, schema.Value.Compare)
}

// priority hashes the keys of an entry.
func (b *branch) priority(seed maphash.Seed) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, k := range b.keys {
		h.WriteString(k.String())
		h.WriteByte(0)
	}
	return h.Sum64()
}

// search finds where a child is, or would be.
func (b *branch) search(n *schema.Node) (int, bool) {
	i := sort.Search(len(b.kids), func(i int) bool { return b.kids[i].node.Index() >= n.Index() })
	return i, i < len(b.kids) && b.kids[i].node == n
}

// child is nil when there is none.
func (b *branch) child(n *schema.Node) any {
	if b == nil {
		return nil
	}
	if i, ok := b.search(n); ok {
		return b.kids[i].item
	}
	return nil
}

func (b *branch) leaf(n *schema.Node) *leaf {
	l, _ := b.child(n).(*leaf)
	return l
}

func (b *branch) branch(n *schema.Node) *branch {
	c, _ := b.child(n).(*branch)
	return c
}

// list is the treap of a list's entries; nil when there are none.
func (b *branch) list(n *schema.Node) *node[*branch] {
	if l, ok := b.child(n).(*list); ok {
		return l.root
	}
	return nil
}

// set puts a child in its place; the branch must be the transaction's own.
func (b *branch) set(n *schema.Node, item any) {
	i, ok := b.search(n)
	if ok {
		b.kids[i].item = item
		return
	}
	b.kids = slices.Insert(b.kids, i, kid{node: n, item: item})
}

// unset takes a child away; the branch must be the transaction's own.
func (b *branch) unset(n *schema.Node) {
	if i, ok := b.search(n); ok {
		b.kids = slices.Delete(b.kids, i, i+1)
	}
}

// own is the branch itself, or a copy when it belongs to an earlier version.
func (b *branch) own(by *token) *branch {
	if b.owner == by {
		return b
	}
	c := *b
	c.owner, c.kids = by, slices.Clone(b.kids)
	return &c
}

// key is the value of a key leaf of this entry.
func (b *branch) key(n *schema.Node) schema.Value { return b.keys[n.Index()] }

// matches reports whether an entry's keys fit a step's.
func (b *branch) matches(s schema.Step) bool {
	for i, k := range s.Keys {
		if !k.Any && !k.Value.Equal(b.keys[i]) {
			return false
		}
	}
	return true
}

// probe is an entry to look up a step's keys with.
func probe(s schema.Step) *branch {
	keys := make([]schema.Value, len(s.Keys))
	for i, k := range s.Keys {
		keys[i] = k.Value
	}
	return &branch{keys: keys}
}

// step is the path step of an entry.
func (b *branch) step(n *schema.Node) schema.Step {
	s := schema.Step{Node: n, Keys: make([]schema.Key, len(b.keys))}
	for i, k := range b.keys {
		s.Keys[i].Value = k
	}
	return s
}

// count is how often a leafref leaf has a value.
type count struct {
	referrer *schema.Node
	value    schema.Value
	n        int
}

func (c *count) order(d *count) int {
	return cmp.Or(cmp.Compare(c.referrer.Path(), d.referrer.Path()), c.value.Compare(d.value))
}

func (c *count) priority(seed maphash.Seed) uint64 {
	return maphash.String(seed, c.referrer.Path()+"\x00"+c.value.String())
}
