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

// Group is a next-hop group in the table.
type Group struct{ Content fib.Content }

// Route is a prefix in the table.
type Route struct {
	Group      *Group
	generation uint64
}

// Engine is the table. Its routes outlive sessions, as pinned maps do; the numbers of groups do not.
type Engine struct {
	Routes map[netip.Prefix]Route
	Groups map[uint32]*Group // of the session

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
	return &Engine{Routes: map[netip.Prefix]Route{}, Groups: map[uint32]*Group{}}
}

// Open begins a session.
func (e *Engine) Open() {
	e.generation++
	clear(e.Groups)
}

// GroupWrite is a group of a transaction.
type GroupWrite struct {
	ID      uint32
	Content fib.Content
}

// RouteWrite is a route of a transaction; group 0 withdraws.
type RouteWrite struct {
	Prefix netip.Prefix
	Group  uint32
}

// transaction is the state that a batch works towards.
type transaction struct {
	*Engine
	routes   map[netip.Prefix]Route
	groups   map[uint32]*Group
	contents map[*Group]fib.Content
}

// Apply is one transaction: all of it or nothing.
func (e *Engine) Apply(groups []GroupWrite, routes []RouteWrite) *fib.Failure {
	if e.Flaw != nil && e.Flaw() {
		return &fib.Failure{Refusal: fib.Refusal{Reason: "flaw", Code: int32(codes.Internal)}}
	}
	t := &transaction{e, maps.Clone(e.Routes), maps.Clone(e.Groups), map[*Group]fib.Content{}}
	for _, g := range groups {
		if f := t.group(g); f != nil {
			return f
		}
	}
	for _, r := range routes {
		if f := t.route(r); f != nil {
			return f
		}
	}
	t.collect()
	if e.MaxGroups > 0 && len(t.groups) > e.MaxGroups {
		return full("", "groups", e.MaxGroups)
	}
	for g, content := range t.contents {
		g.Content = content
	}
	e.Routes, e.Groups = t.routes, t.groups
	e.Applied++
	return nil
}

func (t *transaction) group(w GroupWrite) *fib.Failure {
	for _, h := range w.Content.Hops {
		if t.Poison != "" && h.Interface == t.Poison {
			return &fib.Failure{Refusal: fib.Refusal{Reason: "poisoned", Code: int32(codes.InvalidArgument)}}
		}
	}
	g := t.groups[w.ID]
	if g == nil {
		g = &Group{}
		t.groups[w.ID] = g
	}
	t.contents[g] = w.Content
	return nil
}

func (t *transaction) route(w RouteWrite) *fib.Failure {
	if w.Group == 0 {
		delete(t.routes, w.Prefix)
		return nil
	}
	g := t.groups[w.Group]
	if g == nil {
		return &fib.Failure{Route: w.Prefix.String(), Refusal: fib.Refusal{
			Reason: fmt.Sprintf("group %d does not exist", w.Group), Code: int32(codes.FailedPrecondition),
		}}
	}
	t.routes[w.Prefix] = Route{g, t.generation}
	if t.MaxRoutes > 0 && len(t.routes) > t.MaxRoutes {
		return full(w.Prefix.String(), "routes", t.MaxRoutes)
	}
	return nil
}

// collect forgets the groups that no route of the session uses.
func (t *transaction) collect() {
	used := map[*Group]bool{}
	for _, r := range t.routes {
		used[r.Group] = true
	}
	maps.DeleteFunc(t.groups, func(_ uint32, g *Group) bool { return !used[g] })
}

// EndOfSync sweeps what the session has not repeated.
func (e *Engine) EndOfSync() {
	maps.DeleteFunc(e.Routes, func(_ netip.Prefix, r Route) bool { return r.generation != e.generation })
}

// Content is what happens to packets for a prefix.
func (e *Engine) Content(p netip.Prefix) (fib.Content, bool) {
	r, ok := e.Routes[p]
	if !ok {
		return fib.Content{}, false
	}
	return r.Group.Content, true
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
	groups := make([]GroupWrite, len(b.Groups))
	for i, w := range b.Groups {
		groups[i] = GroupWrite{w.ID(), w.Content}
	}
	changes := make([]RouteWrite, len(b.Routes))
	for i, w := range b.Routes {
		changes[i] = RouteWrite{w.Prefix(), w.Group()}
	}
	if f := e.Apply(groups, changes); f != nil {
		f.Sequence = b.Sequence
		return f
	}
	return nil
}
