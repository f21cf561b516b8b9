// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// Everything in this file reads what packets see, not what the daemon remembers.

// Route is a route of the forwarding table. Group is 0 for one that was made for a neighbour.
type Route struct {
	Prefix netip.Prefix
	Group  uint32
	Action Action
	Hops   []ResolvedHop
}

// ResolvedHop is a next hop with what is written in front of its packets.
type ResolvedHop struct {
	Hop
	Resolved       bool
	MAC            net.HardwareAddr
	Packets, Bytes uint64 // sent by this next hop, over all groups
}

// Routes calls f with the programmed routes, some hundred at a time. Each call holds one generation's
// routes below one first octet; a change between two calls shows in what comes later.
func (e *Engine) Routes(v4, v6 bool, f func([]Route) error) error {
	for _, family := range []bool{false, true} {
		if family && !v6 || !family && !v4 {
			continue
		}
		for octet := -1; octet < 256; octet++ {
			routes, err := e.readOctet(family, octet)
			if err != nil {
				return err
			}
			for part := range slices.Chunk(routes, 512) {
				if err := f(part); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// view reads one family of the live generation. The caller holds readers.
func (e *Engine) view(v6 bool) (fib.View, *tables.Header) {
	unit, _ := e.memory.Generation()
	v4, view := fib.Views(e.memory, unit)
	if !v6 {
		view = v4
	}
	return view, e.memory.Header(unit)
}

func (e *Engine) readOctet(v6 bool, octet int) (routes []Route, err error) {
	e.readers.RLock()
	defer e.readers.RUnlock()
	view, h := e.view(v6)
	cache := map[uint16]Route{}
	var failed error
	collect := func(r fib.Route) bool {
		if r.Layer != fib.Programmed {
			return true
		}
		g, ok := cache[r.Slot]
		if !ok {
			if g, failed = e.readGroup(h, r.Slot); failed != nil {
				return false
			}
			cache[r.Slot] = g
		}
		g.Prefix = r.Prefix
		routes = append(routes, g)
		return true
	}
	if octet < 0 {
		err = view.WalkShort(collect)
	} else {
		err = view.WalkOctet(byte(octet), collect)
	}
	return routes, cmp.Or(err, failed)
}

// Lookup says what decides about an address; false if nothing does.
func (e *Engine) Lookup(a netip.Addr) (Route, bool, error) {
	e.readers.RLock()
	defer e.readers.RUnlock()
	view, h := e.view(a.Is6())
	r, ok, err := view.Match(a.AsSlice())
	if err != nil || !ok {
		return Route{}, false, err
	}
	slot, err := view.Lookup(a.AsSlice())
	if err != nil {
		return Route{}, false, err
	}
	if slot != r.Slot {
		return Route{}, false, fmt.Errorf("engine: packets to %v use group slot %d, route %v has %d", a, slot, r.Prefix, r.Slot)
	}
	out, err := e.readGroup(h, slot)
	out.Prefix = r.Prefix
	return out, true, err
}

// readGroup decodes a group from a generation's page.
func (e *Engine) readGroup(h *tables.Header, slot uint16) (Route, error) {
	page := h.Groups[int(slot)/tables.GroupsPerPage]
	at := int(slot) % tables.GroupsPerPage
	shadow := e.memory.Shadow.Blocks[page]
	if page == 0 || shadow == 0 {
		return Route{}, fmt.Errorf("engine: group slot %d has no page", slot)
	}
	x, err := decodeInfo(e.memory, e.memory.ShadowWords(shadow, tables.GroupsPerPage)[at])
	if err != nil {
		return Route{}, err
	}
	word := atomic.LoadUint64(&e.memory.GroupPage(page)[at])
	r := Route{Group: x.ID, Action: Action(word >> tables.GroupActionShift)}
	for i, hop := range x.Hops {
		rh := ResolvedHop{Hop: hop}
		if x.Action == Forward {
			e.readHop(&rh, word, i, x.counters[i])
		}
		r.Hops = append(r.Hops, rh)
	}
	return r, nil
}

// readHop finds the adjacency that packets of a member use.
func (e *Engine) readHop(r *ResolvedHop, word uint64, member int, counter uint32) {
	index := uint32(word)
	if log := word >> tables.GroupLogShift & 0xff; log > 0 {
		index = 0
		for _, b := range e.memory.Words32(uint32(word), 1<<(log&15)) {
			if int(b>>tables.BucketMemberShift) == member {
				index = b & tables.BucketAdjacencyMask
				break
			}
		}
	}
	if int(index) < tables.MaxAdjacencies {
		a := e.memory.Tables.Adjacencies[index]
		r.Resolved = a.Flags&tables.AdjacencyResolved != 0
		r.MAC = net.HardwareAddr(a.Destination[:])
	}
	if !r.Resolved {
		r.MAC = nil
	}
	if counter != 0 && int(counter) < tables.MaxNextHopCounters {
		r.Packets, r.Bytes = e.hopPackets(counter)
	}
}

// Neighbors returns the kernel's neighbours on ports, in order of port and address.
func (e *Engine) Neighbors() []Neighbor {
	e.mu.Lock()
	defer e.mu.Unlock()
	var l []Neighbor
	for _, n := range e.neighbors {
		if e.ports[e.links[n.Link].Name] != nil {
			l = append(l, n)
		}
	}
	slices.SortFunc(l, func(a, b Neighbor) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.Address.Compare(b.Address))
	})
	return l
}

// LinkName is the name of a link, empty if there is none.
func (e *Engine) LinkName(index uint32) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.links[index].Name
}
