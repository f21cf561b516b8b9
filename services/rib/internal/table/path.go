// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"net/netip"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
)

// NextHop is where a path leads, as its source gave it. An address without an interface is resolved by the
// table; an interface without an address means that the prefix is on the link.
type NextHop struct {
	Address   netip.Addr
	Interface string
	Weight    uint32 // 0 means 1
}

// Path is one way to a prefix. Its action follows from Kind: Forward needs next hops, Connected exactly
// one interface, Drop and Local none.
type Path struct {
	Kind     fib.Action
	Distance uint8 // administrative; lower is better
	Metric   uint32
	NextHops []NextHop
}

// Source is where paths come from: a protocol or a producer.
type Source struct {
	name   string
	exempt bool // from the limits
	paths  int
}

// Name is what the source calls itself, for example "static".
func (s *Source) Name() string { return s.name }

// Paths is the number of paths the source has in the table.
func (s *Source) Paths() int { return s.paths }

// path is a Path as the table keeps it: an element of two lists, the paths of its prefix in order of
// preference and the paths that share its set.
type path struct {
	entry  *entry
	set    *set
	source *Source

	next             *path // of the entry, less preferred
	setPrev, setNext *path

	metric   uint32
	mark     uint32 // of the source's generation
	distance uint8
}

// before orders the paths of a prefix: distance, metric, then the source's name, so that the choice never
// depends on the order of arrival.
func (p *path) before(o *path) bool {
	switch {
	case p.distance != o.distance:
		return p.distance < o.distance
	case p.metric != o.metric:
		return p.metric < o.metric
	}
	return p.source.name < o.source.name
}

// entry is one prefix.
type entry struct {
	fib.Slot
	first *path
	best  *path
	// told is the best path that the history knows.
	told  *path
	dirty bool
}

// insert puts a path at its place of preference, behind its equals.
func (e *entry) insert(p *path) {
	at := &e.first
	for *at != nil && !p.before(*at) {
		at = &(*at).next
	}
	p.next = *at
	*at = p
}

func (e *entry) remove(p *path) {
	for at := &e.first; *at != nil; at = &(*at).next {
		if *at == p {
			*at = p.next
			p.next = nil
			return
		}
	}
}

// choose returns the most preferred path whose next hops are reachable.
func (e *entry) choose() *path {
	for p := e.first; p != nil; p = p.next {
		if p.set.outcome.ok {
			return p
		}
	}
	return nil
}
