// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"cmp"
	"slices"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
)

const (
	// MaxNextHops is the greatest number of next hops of a route, as given and as resolved.
	MaxNextHops = 128
	// maxWeight bounds weights: greater ones are cut where they are given and scaled where they result.
	maxWeight = 1 << 16
	// maxScale bounds the common denominator of the shares.
	maxScale = 1 << 16
)

// part is one next hop as given with what it resolves to.
type part struct {
	weight uint32
	hops   []fib.Hop
}

// combine spreads the weight of each next hop over what it resolves to, in the proportions of that, and
// merges equal results. The outcome is sorted and its weights have no common divisor.
func combine(parts []part) []fib.Hop {
	if len(parts) == 1 && len(parts[0].hops) == 1 {
		h := parts[0].hops[0]
		h.Weight = 1
		return []fib.Hop{h}
	}
	scale := uint64(1)
	for _, p := range parts {
		scale = min(lcm(scale, total(p.hops)), maxScale)
	}
	type share struct {
		fib.Hop
		weight uint64
	}
	var shares []share
	for _, p := range parts {
		sum := total(p.hops)
		for _, h := range p.hops {
			w := uint64(p.weight) * uint64(h.Weight) * scale / sum
			shares = append(shares, share{h, max(w, 1)})
		}
	}
	slices.SortFunc(shares, func(a, b share) int { return compareHops(a.Hop, b.Hop) })
	merged := shares[:1]
	for _, s := range shares[1:] {
		if last := &merged[len(merged)-1]; compareHops(last.Hop, s.Hop) == 0 {
			last.weight += s.weight
			continue
		}
		merged = append(merged, s)
	}
	merged = merged[:min(len(merged), MaxNextHops)]
	divisor, greatest := uint64(0), uint64(0)
	for _, s := range merged {
		divisor, greatest = gcd(divisor, s.weight), max(greatest, s.weight)
	}
	for greatest/divisor > maxWeight {
		divisor *= 2
	}
	hops := make([]fib.Hop, len(merged))
	for i, s := range merged {
		hops[i] = s.Hop
		hops[i].Weight = uint32(max(s.weight/divisor, 1))
	}
	return hops
}

func compareHops(a, b fib.Hop) int {
	return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.Address.Compare(b.Address))
}

func total(hops []fib.Hop) uint64 {
	sum := uint64(0)
	for _, h := range hops {
		sum += uint64(h.Weight)
	}
	return sum
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func lcm(a, b uint64) uint64 { return a / gcd(a, b) * b }
