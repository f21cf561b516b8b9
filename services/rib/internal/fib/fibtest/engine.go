// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package fibtest is a forwarding table for tests that keeps the dataplane's side of the contract
// strictly: batches are transactions, groups without routes are collected, limits are refused by name and
// end of synchronisation sweeps. It is not safe for concurrent use.
package fibtest

import (
	"fmt"
	"maps"
	"net/netip"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
)

// Route is a prefix in the table.
type Route struct {
	Group      uint32
	generation uint64
}

// Engine is the table. Its content outlives sessions, as pinned maps do.
type Engine struct {
	Routes map[netip.Prefix]Route
	Groups map[uint32]fib.Content

	// MaxRoutes and MaxGroups are limits; 0 means none.
	MaxRoutes, MaxGroups int
	// Poison is refused wherever it occurs as an interface.
	Poison string
	// Flaw, when set, refuses a batch by chance or plan; nothing is at fault with it.
	Flaw func() bool

	generation uint64
	Applied    uint64
}

// New returns an empty engine.
func New() *Engine {
	return &Engine{Routes: map[netip.Prefix]Route{}, Groups: map[uint32]fib.Content{}}
}

// Open begins a session.
func (e *Engine) Open() { e.generation++ }

// Group is a group of a transaction.
type Group struct {
	ID      uint32
	Content fib.Content
}

// Change is a route of a transaction; group 0 withdraws.
type Change struct {
	Prefix netip.Prefix
	Group  uint32
}

// Apply is one transaction: all of it or nothing.
func (e *Engine) Apply(groups []Group, changes []Change) *fib.Failure {
	if e.Flaw != nil && e.Flaw() {
		return &fib.Failure{Refusal: fib.Refusal{Reason: "flaw", Code: int32(codes.Internal)}}
	}
	routes, all := maps.Clone(e.Routes), maps.Clone(e.Groups)
	for _, g := range groups {
		for _, h := range g.Content.Hops {
			if e.Poison != "" && h.Interface == e.Poison {
				return &fib.Failure{Refusal: fib.Refusal{Reason: "poisoned", Code: int32(codes.InvalidArgument)}}
			}
		}
		all[g.ID] = g.Content
	}
	for _, c := range changes {
		if f := e.change(routes, all, c); f != nil {
			return f
		}
	}
	collect(routes, all)
	if e.MaxGroups > 0 && len(all) > e.MaxGroups {
		return full("", "groups", e.MaxGroups)
	}
	e.Routes, e.Groups = routes, all
	e.Applied++
	return nil
}

func (e *Engine) change(routes map[netip.Prefix]Route, groups map[uint32]fib.Content, c Change) *fib.Failure {
	if c.Group == 0 {
		delete(routes, c.Prefix)
		return nil
	}
	if _, ok := groups[c.Group]; !ok {
		return &fib.Failure{Route: c.Prefix.String(), Refusal: fib.Refusal{
			Reason: fmt.Sprintf("group %d does not exist", c.Group), Code: int32(codes.FailedPrecondition),
		}}
	}
	routes[c.Prefix] = Route{c.Group, e.generation}
	if e.MaxRoutes > 0 && len(routes) > e.MaxRoutes {
		return full(c.Prefix.String(), "routes", e.MaxRoutes)
	}
	return nil
}

// EndOfSync sweeps what the session has not repeated.
func (e *Engine) EndOfSync() {
	for p, r := range e.Routes {
		if r.generation != e.generation {
			delete(e.Routes, p)
		}
	}
	collect(e.Routes, e.Groups)
}

// Content is what happens to packets for a prefix.
func (e *Engine) Content(p netip.Prefix) (fib.Content, bool) {
	r, ok := e.Routes[p]
	return e.Groups[r.Group], ok
}

func collect(routes map[netip.Prefix]Route, groups map[uint32]fib.Content) {
	used := map[uint32]bool{}
	for _, r := range routes {
		used[r.Group] = true
	}
	for id := range groups {
		if !used[id] {
			delete(groups, id)
		}
	}
}

func full(route, limit string, value int) *fib.Failure {
	return &fib.Failure{Route: route, Refusal: fib.Refusal{
		Reason: fmt.Sprintf("limit of %d %s reached", value, limit), Code: int32(codes.ResourceExhausted),
	}}
}

// Take applies one batch as handed out by an outbox.
func (e *Engine) Take(b *fib.Batch) *fib.Failure {
	if b.EndOfSync {
		e.EndOfSync()
		return nil
	}
	groups := make([]Group, len(b.Groups))
	for i, w := range b.Groups {
		groups[i] = Group{w.ID(), w.Content}
	}
	changes := make([]Change, len(b.Routes))
	for i, w := range b.Routes {
		changes[i] = Change{w.Prefix(), w.Group()}
	}
	if f := e.Apply(groups, changes); f != nil {
		f.Sequence = b.Sequence
		return f
	}
	return nil
}
