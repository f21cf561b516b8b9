// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"fmt"
	"net/netip"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
)

// Ref is a prefix of the table. It stays valid, if perhaps empty, when the prefix goes.
type Ref struct{ entry *entry }

// Status is a path with what became of it.
type Status struct {
	Path
	Prefix   netip.Prefix
	Source   string
	Best     bool
	Resolved fib.Content // of the best path
	// Installed: the dataplane acknowledged it. Reason says why it is not, or why the path is not best.
	Installed bool
	Reason    string
	// Missing says of each of NextHops why it cannot be used; empty when it can.
	Missing []string
}

// Size is the number of prefixes, of paths and of distinct sets of next hops.
func (t *Table) Size() (prefixes, paths, sets int) {
	return t.entries.Size(), t.paths, len(t.sets)
}

// Size4 and Size6 are the numbers of prefixes by family.
func (t *Table) Size4() int { return t.entries.Size4() }

// Size6 is the number of IPv6 prefixes.
func (t *Table) Size6() int { return t.entries.Size6() }

// Find returns the prefix itself.
func (t *Table) Find(prefix netip.Prefix) (Ref, bool) {
	e, ok := t.entries.Get(prefix)
	return Ref{e}, ok && e.first != nil
}

// Lookup returns the route that packets for an address take.
func (t *Table) Lookup(a netip.Addr) (Ref, bool) {
	for _, e := range t.entries.Supernets(host(a.Unmap())) {
		if e.best != nil {
			return Ref{e}, true
		}
	}
	return Ref{}, false
}

// All returns every prefix of a family (4 or 6; 0 for both), sorted.
func (t *Table) All(family int) []Ref {
	var refs []Ref
	if family != 6 {
		for _, e := range t.entries.AllSorted4() {
			refs = append(refs, Ref{e})
		}
	}
	if family != 4 {
		for _, e := range t.entries.AllSorted6() {
			refs = append(refs, Ref{e})
		}
	}
	return refs
}

// Within returns a prefix and what it covers, sorted.
func (t *Table) Within(prefix netip.Prefix) []Ref {
	var refs []Ref
	for _, e := range t.entries.Subnets(prefix) {
		refs = append(refs, Ref{e})
	}
	return refs
}

// Best returns the best path of a prefix.
func (t *Table) Best(r Ref) (Status, bool) {
	if r.entry == nil || r.entry.best == nil {
		return Status{}, false
	}
	return t.status(r.entry, r.entry.best), true
}

// BestOf returns what the dataplane should have for a prefix by the paths of some sources alone.
func (t *Table) BestOf(r Ref, some func(source string) bool) (fib.Content, netip.Prefix, bool) {
	for p := r.entry.first; p != nil; p = p.next {
		if p.set.outcome.ok && some(p.source.name) {
			return p.set.outcome.content, r.entry.Prefix(), true
		}
	}
	return fib.Content{}, netip.Prefix{}, false
}

// Paths returns every path of a prefix in order of preference.
func (t *Table) Paths(r Ref) []Status {
	var all []Status
	for p := r.entry.first; p != nil; p = p.next {
		all = append(all, t.status(r.entry, p))
	}
	return all
}

// Undone says why a prefix that has paths is not in the dataplane as it should be: refused, or no path
// is reachable. Waiting for an acknowledgement is no reason.
func (t *Table) Undone(prefix netip.Prefix) (fib.Refusal, bool) {
	e, ok := t.entries.Get(prefix)
	if !ok || e.first == nil {
		return fib.Refusal{}, false
	}
	if e.best == nil {
		return fib.Refusal{Reason: e.first.set.outcome.reason, Code: int32(codes.FailedPrecondition)}, true
	}
	return t.outbox.Refusal(&e.Slot)
}

// Done reports whether the dataplane has exactly what a prefix should have.
func (t *Table) Done(prefix netip.Prefix) bool {
	e, ok := t.entries.Get(prefix)
	return !ok || e.Wanted() == nil && e.Clean() || e.Installed()
}

// Touch sends a prefix to the dataplane again, first of all.
func (t *Table) Touch(prefix netip.Prefix) {
	if e, ok := t.entries.Get(prefix); ok {
		t.outbox.Touch(&e.Slot)
	}
}

// Hurry sends what is to be sent of a prefix first of all.
func (t *Table) Hurry(prefix netip.Prefix) {
	if e, ok := t.entries.Get(prefix); ok {
		t.outbox.Hurry(&e.Slot)
	}
}

// Decisions counts how often the dataplane acknowledged or refused a prefix.
func (t *Table) Decisions(prefix netip.Prefix) uint32 {
	if e, ok := t.entries.Get(prefix); ok {
		return e.Decisions()
	}
	return 0
}

func (t *Table) status(e *entry, p *path) Status {
	s := Status{
		Path:   Path{Kind: p.set.kind, Distance: p.distance, Metric: p.metric, NextHops: p.set.hops},
		Prefix: e.Prefix(),
		Source: p.source.name,
		Best:   p == e.best,

		Missing: p.set.outcome.missing,
	}
	switch {
	case !p.set.outcome.ok:
		s.Reason = p.set.outcome.reason
	case !s.Best:
		s.Reason = fmt.Sprintf("%s is preferred (distance %d, metric %d)",
			e.best.source.name, e.best.distance, e.best.metric)
	default:
		s.Resolved = p.set.outcome.content
		s.Installed = e.Installed()
		s.Reason = t.pending(e, p)
	}
	return s
}

// pending says what is missing of a best path.
func (t *Table) pending(e *entry, p *path) string {
	if r, ok := t.outbox.Refusal(&e.Slot); ok {
		return "the dataplane refused it: " + r.Reason
	}
	if !e.Installed() {
		return "waiting for the dataplane"
	}
	return p.set.outcome.reason
}
