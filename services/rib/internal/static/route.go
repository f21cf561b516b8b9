// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package static owns the configuration of static routes: it reads and judges them, puts them into the
// routing table, awaits the dataplane and shows what became of them.
//
// A route is judged when it is set: what could never work is refused with the path at fault and a reason. A
// next hop that cannot be reached now, or an interface that does not exist yet, is accepted: the route is
// kept, is not installed, and its state says why.
package static

import (
	"net/netip"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

// Protocol is the name of the source.
const Protocol = "static"

const (
	// DefaultDistance is the administrative distance of a next hop that says none.
	DefaultDistance = 1
	// maxDistance is the greatest administrative distance.
	maxDistance = 255
)

// Route is a static route as configured.
type Route struct {
	Prefix netip.Prefix
	Hops   []Hop
}

// Hop is one next hop of a static route.
type Hop struct {
	Index     string
	Address   netip.Addr // invalid when the prefix is on the link, or dropped
	Interface string
	Drop      bool
	Distance  uint8
	Metric    uint32
}

// rank is what makes next hops one path: they are used together.
type rank struct {
	distance uint8
	metric   uint32
	kind     fib.Action
}

func (h Hop) rank() rank { return rank{h.Distance, h.Metric, h.kind()} }

func (h Hop) kind() fib.Action {
	switch {
	case h.Drop:
		return fib.Drop
	case !h.Address.IsValid():
		return fib.Connected
	}
	return fib.Forward
}

// paths groups the next hops of all routes for one prefix by rank.
func paths(routes []Route) []table.Path {
	var out []table.Path
	at := map[rank]int{}
	for _, r := range routes {
		for _, h := range r.Hops {
			i, ok := at[h.rank()]
			if !ok {
				i = len(out)
				at[h.rank()] = i
				out = append(out, table.Path{Kind: h.kind(), Distance: h.Distance, Metric: h.Metric})
			}
			if h.kind() == fib.Drop || h.kind() == fib.Connected && len(out[i].NextHops) > 0 {
				continue
			}
			out[i].NextHops = append(out[i].NextHops, table.NextHop{Address: h.Address, Interface: h.Interface})
		}
	}
	return out
}
