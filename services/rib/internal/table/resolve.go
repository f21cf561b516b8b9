// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
)

const (
	// MaxDepth is the greatest number of routes between a next hop and an interface.
	MaxDepth = 16
	// maxReasons bounds the words about next hops that are missing.
	maxReasons = 3
)

// resolver computes the outcome of one set and notes what it looked at.
type resolver struct {
	t          *Table
	way        []netip.Prefix // routes between the set and where the walk is
	steps      int
	addresses  []netip.Addr
	interfaces []string
}

// answer is what a next hop leads to: hops, a deliberate discard, or nothing for a reason.
type answer struct {
	hops   []fib.Hop
	drop   bool
	reason string
}

func (a answer) reachable() bool { return a.drop || len(a.hops) > 0 }

// resolve computes the outcome of a set by the paths and interfaces there are now.
func (r *resolver) resolve(s *set) outcome {
	switch s.kind {
	case fib.Drop, fib.Local:
		return outcome{ok: true, content: fib.Content{Action: s.kind}}
	case fib.Connected:
		name := s.hops[0].Interface
		reason := r.missing(name)
		return outcome{ok: reason == "", reason: reason, missing: []string{reason}, content: fib.Content{
			Action: fib.Connected, Hops: []fib.Hop{{Interface: name, Weight: 1}},
		}}
	}
	if s.except.IsValid() {
		r.way = append(r.way, s.except)
	}
	a, missing := r.forward(s)
	out := outcome{ok: a.reachable(), reason: a.reason, missing: missing}
	switch {
	case a.drop:
		out.content = fib.Content{Action: fib.Drop}
	case out.ok:
		out.content = fib.Content{Action: fib.Forward, Hops: a.hops}
	}
	return out
}

// forward resolves next hops that are used together. Those that lead nowhere are left out; only when all
// of the others discard does the set discard.
func (r *resolver) forward(s *set) (_ answer, missing []string) {
	var parts []part
	var reasons []string
	missing = make([]string, len(s.hops))
	drop := false
	for i, h := range s.hops {
		a := r.nextHop(h)
		switch {
		case a.drop:
			drop = true
		case len(a.hops) > 0:
			parts = append(parts, part{h.Weight, a.hops})
		default:
			missing[i] = a.reason
			if len(reasons) < maxReasons {
				reasons = append(reasons, a.reason)
			}
		}
	}
	a := answer{reason: strings.Join(reasons, "; ")}
	if len(parts) > 0 {
		a.hops = combine(parts)
	} else {
		a.drop = drop
	}
	return a, missing
}

func (r *resolver) nextHop(h NextHop) answer {
	if h.Interface == "" {
		return r.address(h.Address)
	}
	if reason := r.missing(h.Interface); reason != "" {
		return answer{reason: reason}
	}
	return answer{hops: []fib.Hop{{Interface: h.Interface, Address: h.Address, Weight: 1}}}
}

// address resolves an address by the longest match that is reachable without a route already on the way.
func (r *resolver) address(a netip.Addr) answer {
	r.addresses = append(r.addresses, a)
	failure := fmt.Sprintf("no route to %s", a)
	if len(r.way) >= MaxDepth {
		return answer{reason: fmt.Sprintf("the way to %s is more than %d routes deep", a, MaxDepth)}
	}
	first := true
	for prefix, e := range r.t.entries.Supernets(netip.PrefixFrom(a, a.BitLen())) {
		if r.steps++; r.steps > r.t.limits.Steps {
			return answer{reason: fmt.Sprintf("the way to %s branches too often", a)}
		}
		if e.first == nil {
			continue
		}
		if slices.Contains(r.way, prefix) {
			if first {
				failure = fmt.Sprintf("the way to %s loops through %s", a, prefix)
				first = false
			}
			continue
		}
		got, final := r.through(e, a)
		if final || got.reachable() {
			return got
		}
		if first {
			failure = fmt.Sprintf("%s is reached by %s, and %s", a, prefix, got.reason)
			first = false
		}
	}
	return answer{reason: failure}
}

// through resolves an address by the most preferred reachable path of a route that matches it. final says
// that no other route may be tried.
func (r *resolver) through(e *entry, a netip.Addr) (got answer, final bool) {
	r.way = append(r.way, e.Prefix())
	defer func() { r.way = r.way[:len(r.way)-1] }()
	for p := e.first; p != nil; p = p.next {
		one := r.path(p, a)
		if one.reachable() {
			return one, true
		}
		if p.set.kind == fib.Local {
			return one, true
		}
		if got.reason == "" {
			got = one
		}
	}
	return got, false
}

func (r *resolver) path(p *path, a netip.Addr) answer {
	switch p.set.kind {
	case fib.Drop:
		return answer{drop: true}
	case fib.Local:
		return answer{reason: fmt.Sprintf("%s is this device's own address", a)}
	case fib.Connected:
		return r.nextHop(NextHop{Interface: p.set.hops[0].Interface, Address: a})
	}
	got, _ := r.forward(p.set)
	return got
}

// missing says why an interface cannot be used; empty when it can.
func (r *resolver) missing(name string) string {
	r.interfaces = append(r.interfaces, name)
	up, known := r.t.interfaces[name]
	switch {
	case !known:
		return fmt.Sprintf("interface %s is not configured or does not exist", name)
	case !up:
		return fmt.Sprintf("interface %s is down", name)
	}
	return ""
}
