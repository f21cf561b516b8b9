// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"

	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
)

// KernelHop is a next hop as the kernel wants it.
type KernelHop struct {
	Link    uint32
	Address netip.Addr
	Weight  uint32
}

// KernelRoute is a route that the kernel needs for the packets it is handed. Without hops it discards.
type KernelRoute struct {
	Prefix netip.Prefix
	Hops   []KernelHop
}

// KernelRoutes returns up to limit routes for the kernel's table, the shortest first octets first, how many
// there are in all, and a number that changes with the links. Connected and local ones are the kernel's own.
func (e *Engine) KernelRoutes(limit int) (routes []KernelRoute, all int, links uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	byName := map[string]uint32{}
	for _, l := range e.links {
		if l.Up {
			byName[l.Name] = l.Index
		}
	}
	for _, table := range []*fib.Table{e.v4, e.v6} {
		all += table.Len(fib.Programmed)
		table.Walk(func(r fib.Route) bool {
			if k, ok := e.kernelRoute(r, byName); ok && len(routes) < limit {
				routes = append(routes, k)
			}
			return len(routes) < limit
		})
	}
	return routes, all, e.moved
}

func (e *Engine) kernelRoute(r fib.Route, links map[string]uint32) (KernelRoute, bool) {
	k := KernelRoute{Prefix: r.Prefix}
	g := e.groups.slots[r.Slot]
	switch {
	case r.Layer != fib.Programmed || g == nil:
		return k, false
	case g.Action == Drop:
		return k, true
	case g.Action != Forward:
		return k, false
	}
	for _, h := range g.Hops {
		if index := links[h.Interface]; index != 0 {
			k.Hops = append(k.Hops, KernelHop{index, h.Address, min(h.weight(), 256)})
		}
	}
	if len(k.Hops) == 1 {
		k.Hops[0].Weight = 1
	}
	return k, len(k.Hops) > 0
}
