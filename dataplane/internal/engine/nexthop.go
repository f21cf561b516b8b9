// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net"
	"net/netip"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// hopKey names a next hop.
type hopKey struct {
	link    string
	address netip.Addr
}

// nextHop is a neighbour that groups send by. It is shared by all of them.
type nextHop struct {
	hopKey
	adjacency uint32           // index; 0 while unresolved
	content   tables.Adjacency // what the index holds
	counter   uint32
	groups    map[uint16]int // slots that use it, and how often
	seen      uint64         // packets at the last look, see Probes
}

// nextHops keeps the next hops, their adjacencies and their counters. Adjacencies are copy-on-write: a
// changed one gets a new index, and the old one is free again after a grace period.
type nextHops struct {
	memory      *tables.Memory
	byKey       map[hopKey]*nextHop
	adjacencies *indexes
	counters    *indexes
	retired     []uint32
}

func newNextHops(m *tables.Memory) *nextHops {
	return &nextHops{
		memory: m, byKey: map[hopKey]*nextHop{},
		adjacencies: newIndexes(tables.MaxAdjacencies), counters: newIndexes(tables.MaxNextHopCounters),
	}
}

// use finds or makes a next hop for a group's slot. counter is the one it had before a restart, 0 for a new one.
func (n *nextHops) use(k hopKey, slot uint16, counter uint32) *nextHop {
	h := n.byKey[k]
	if h == nil {
		h = &nextHop{hopKey: k, groups: map[uint16]int{}}
		n.byKey[k] = h
		if counter == 0 || !n.counters.reserve(counter) {
			// Without an index of its own a next hop counts into the common one.
			counter, _ = n.counters.take()
			n.clearCounter(counter)
		}
		h.counter = counter
	}
	h.groups[slot]++
	return h
}

func (n *nextHops) clearCounter(i uint32) {
	if i == 0 {
		return
	}
	for c := range n.memory.Counters {
		n.memory.Counters[c].NextHops[i] = tables.NextHopCounters{}
	}
}

// drop ends a group's use of a next hop.
func (n *nextHops) drop(h *nextHop, slot uint16) {
	if h.groups[slot]--; h.groups[slot] > 0 {
		return
	}
	delete(h.groups, slot)
	if len(h.groups) > 0 {
		return
	}
	delete(n.byKey, h.hopKey)
	n.retire(h.adjacency)
	n.counters.put(h.counter)
}

func (n *nextHops) retire(adjacency uint32) {
	if adjacency != 0 {
		n.retired = append(n.retired, adjacency)
	}
}

// adjacencyFor is the adjacency of a neighbour on a port.
func adjacencyFor(p *port, mac net.HardwareAddr, counter uint32) tables.Adjacency {
	a := tables.Adjacency{
		Ifindex: p.link.Index, Mtu: p.layer3(), Port: p.slot,
		Flags: tables.AdjacencyResolved, Counter: counter,
	}
	copy(a.Destination[:], mac)
	copy(a.Source[:], p.link.Address)
	return a
}

// point makes a next hop use an adjacency, or none. It reports whether buckets must change. When there is
// no free adjacency the next hop stays unresolved, so that the kernel forwards for it.
func (n *nextHops) point(h *nextHop, want *tables.Adjacency) bool {
	if want == nil {
		changed := h.adjacency != 0
		n.retire(h.adjacency)
		h.adjacency, h.content = 0, tables.Adjacency{}
		return changed
	}
	if h.adjacency != 0 && h.content == *want {
		return false
	}
	i, ok := n.adjacencies.take()
	if ok {
		n.memory.Tables.Adjacencies[i] = *want
	}
	n.retire(h.adjacency)
	h.adjacency, h.content = i, *want
	return true
}

// adopt lets a next hop keep the index that packets use for it.
func (n *nextHops) adopt(h *nextHop, index uint32) {
	if h.adjacency != 0 || int(index) >= tables.MaxAdjacencies {
		return
	}
	content := n.memory.Tables.Adjacencies[index]
	if content.Flags&tables.AdjacencyResolved != 0 && n.adjacencies.reserve(index) {
		h.adjacency, h.content = index, content
	}
}

// takeRetired returns indexes that are free after a grace period.
func (n *nextHops) takeRetired() []uint32 {
	r := n.retired
	n.retired = nil
	return r
}

func (n *nextHops) release(indexes []uint32) {
	for _, i := range indexes {
		n.adjacencies.put(i)
	}
}
