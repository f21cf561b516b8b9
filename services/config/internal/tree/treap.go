// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

// A treap is a persistent ordered set: a binary tree in order of its items and a heap in order of their priorities. As a
// priority is a hash of the item's key, two treaps of the same items have the same shape, and what they share by history
// is found by comparing pointers. Nodes that the running transaction made itself are changed in place.

// token is the identity of a transaction; a node with another token is frozen.
type token struct{ _ byte }

// ordered is what a treap can hold.
type ordered[T any] interface {
	// order compares keys.
	order(T) int
}

type node[T ordered[T]] struct {
	left, right *node[T]
	owner       *token
	priority    uint64
	item        T
}

func own[T ordered[T]](n *node[T], by *token) *node[T] {
	if n.owner == by {
		return n
	}
	c := *n
	c.owner = by
	return &c
}

// find returns the item with the probe's key.
func find[T ordered[T]](n *node[T], probe T) (item T, ok bool) {
	for n != nil {
		switch c := probe.order(n.item); {
		case c == 0:
			return n.item, true
		case c < 0:
			n = n.left
		default:
			n = n.right
		}
	}
	return item, false
}

// insert adds the item, or replaces the one with its key.
func insert[T ordered[T]](n *node[T], item T, priority uint64, by *token) *node[T] {
	if n == nil {
		return &node[T]{owner: by, priority: priority, item: item}
	}
	n = own(n, by)
	switch c := item.order(n.item); {
	case c == 0:
		n.item = item
	case c < 0:
		n.left = insert(n.left, item, priority, by)
		if l := n.left; l.priority > n.priority {
			n.left, l.right = l.right, n
			return l
		}
	default:
		n.right = insert(n.right, item, priority, by)
		if r := n.right; r.priority > n.priority {
			n.right, r.left = r.left, n
			return r
		}
	}
	return n
}

// remove takes the item with the probe's key out; the treap itself is returned when it has none.
func remove[T ordered[T]](n *node[T], probe T, by *token) *node[T] {
	if n == nil {
		return nil
	}
	switch c := probe.order(n.item); {
	case c == 0:
		return join(n.left, n.right, by)
	case c < 0:
		if left := remove(n.left, probe, by); left != n.left {
			n = own(n, by)
			n.left = left
		}
	default:
		if right := remove(n.right, probe, by); right != n.right {
			n = own(n, by)
			n.right = right
		}
	}
	return n
}

// join makes one of two, where everything in a is before everything in b.
func join[T ordered[T]](a, b *node[T], by *token) *node[T] {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority >= b.priority:
		a = own(a, by)
		a.right = join(a.right, b, by)
		return a
	}
	b = own(b, by)
	b.left = join(a, b.left, by)
	return b
}

// split gives what is before the key, the item with it, and what is after. The treap itself is left as it is.
func split[T ordered[T]](n *node[T], key T) (before *node[T], item T, found bool, after *node[T]) {
	if n == nil {
		return nil, item, false, nil
	}
	switch c := key.order(n.item); {
	case c == 0:
		return n.left, n.item, true, n.right
	case c < 0:
		before, item, found, after = split(n.left, key)
		if after != n.left {
			m := *n
			m.owner, m.left = nil, after
			n = &m
		}
		return before, item, found, n
	}
	before, item, found, after = split(n.right, key)
	if before != n.right {
		m := *n
		m.owner, m.right = nil, before
		n = &m
	}
	return n, item, found, after
}

// each visits the items in order until visit returns false.
func each[T ordered[T]](n *node[T], visit func(T) bool) bool {
	return n == nil || each(n.left, visit) && visit(n.item) && each(n.right, visit)
}

// cursor walks a treap in order. The zero cursor is at the end.
type cursor[T ordered[T]] struct{ way []*node[T] }

func (c *cursor[T]) push(n *node[T]) {
	for ; n != nil; n = n.left {
		c.way = append(c.way, n)
	}
}

// item is the one the cursor is at.
func (c *cursor[T]) item() (item T, ok bool) {
	if len(c.way) == 0 {
		return item, false
	}
	return c.way[len(c.way)-1].item, true
}

func (c *cursor[T]) next() {
	n := c.way[len(c.way)-1]
	c.way = c.way[:len(c.way)-1]
	c.push(n.right)
}

// pair visits the items of two treaps that are not the same item, in order: only in a, only in b, or in both but
// different. What the treaps share is skipped without looking into it.
func pair[T interface {
	comparable
	ordered[T]
}](a, b *node[T], visit func(a, b T)) {
	var none T
	switch {
	case a == b:
	case a == nil:
		each(b, func(item T) bool { visit(none, item); return true })
	case b == nil:
		each(a, func(item T) bool { visit(item, none); return true })
	default:
		before, item, _, after := split(b, a.item)
		pair(a.left, before, visit)
		if a.item != item {
			visit(a.item, item)
		}
		pair(a.right, after, visit)
	}
}
