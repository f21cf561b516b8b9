// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"cmp"
	"math/big"
	"net/netip"
	"slices"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
)

// naive is the routing table as its package comment defines it, without an index or a memory: everything
// is computed from the list of paths each time.
type naive struct {
	paths      map[naiveKey][]Path
	interfaces map[string]bool
}

type naiveKey struct {
	prefix netip.Prefix
	source string
}

// share is a resolved next hop and its part of the traffic.
type shares map[[2]string]*big.Rat

type naiveAnswer struct {
	drop   bool
	local  bool
	link   string // connected
	shares shares
}

func (a *naiveAnswer) empty() bool { return !a.drop && !a.local && a.link == "" && len(a.shares) == 0 }

type naivePath struct {
	source string
	Path
}

func (n *naive) at(prefix netip.Prefix) []naivePath {
	var all []naivePath
	for k, paths := range n.paths {
		if k.prefix == prefix {
			for _, p := range paths {
				all = append(all, naivePath{k.source, p})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b naivePath) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.source, b.source))
	})
	return all
}

func (n *naive) prefixes() []netip.Prefix {
	seen := map[netip.Prefix]bool{}
	var all []netip.Prefix
	for k, paths := range n.paths {
		if len(paths) > 0 && !seen[k.prefix] {
			seen[k.prefix] = true
			all = append(all, k.prefix)
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int { return b.Bits() - a.Bits() })
	return all
}

// best returns the preferred reachable path of a prefix and what it does.
func (n *naive) best(prefix netip.Prefix) (naivePath, naiveAnswer, bool) {
	for _, p := range n.at(prefix) {
		if a := n.top(prefix, p.Path); !a.empty() {
			return p, a, true
		}
	}
	return naivePath{}, naiveAnswer{}, false
}

func (n *naive) top(prefix netip.Prefix, p Path) naiveAnswer {
	switch p.Kind {
	case fib.Drop:
		return naiveAnswer{drop: true}
	case fib.Local:
		return naiveAnswer{local: true}
	case fib.Connected:
		if n.interfaces[p.NextHops[0].Interface] {
			return naiveAnswer{link: p.NextHops[0].Interface}
		}
		return naiveAnswer{}
	}
	var way []netip.Prefix
	for _, h := range p.NextHops {
		if h.Interface == "" && prefix.Contains(h.Address) {
			way = []netip.Prefix{prefix}
		}
	}
	return n.forward(p.NextHops, way)
}

func (n *naive) forward(hops []NextHop, way []netip.Prefix) naiveAnswer {
	out := naiveAnswer{shares: shares{}}
	drop := false
	for _, h := range hops {
		a := n.hop(h, way)
		drop = drop || a.drop
		for k, s := range a.shares {
			w := new(big.Rat).Mul(s, new(big.Rat).SetUint64(uint64(max(h.Weight, 1))))
			if out.shares[k] == nil {
				out.shares[k] = new(big.Rat)
			}
			out.shares[k].Add(out.shares[k], w)
		}
	}
	sum := new(big.Rat)
	for _, s := range out.shares {
		sum.Add(sum, s)
	}
	for k, s := range out.shares {
		out.shares[k] = new(big.Rat).Quo(s, sum)
	}
	out.drop = drop && len(out.shares) == 0
	return out
}

func (n *naive) hop(h NextHop, way []netip.Prefix) naiveAnswer {
	if h.Interface != "" {
		if !n.interfaces[h.Interface] {
			return naiveAnswer{}
		}
		return naiveAnswer{shares: shares{{h.Interface, h.Address.String()}: big.NewRat(1, 1)}}
	}
	if len(way) >= MaxDepth {
		return naiveAnswer{}
	}
	for _, prefix := range n.prefixes() {
		if !prefix.Contains(h.Address) || slices.Contains(way, prefix) {
			continue
		}
		on := append(slices.Clone(way), prefix)
		for _, p := range n.at(prefix) {
			var a naiveAnswer
			switch p.Kind {
			case fib.Local:
				return naiveAnswer{}
			case fib.Drop:
				return naiveAnswer{drop: true}
			case fib.Connected:
				a = n.hop(NextHop{Interface: p.NextHops[0].Interface, Address: h.Address}, on)
			default:
				a = n.forward(p.NextHops, on)
			}
			if !a.empty() {
				return a
			}
		}
	}
	return naiveAnswer{}
}
