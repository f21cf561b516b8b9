// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import "net/netip"

// Probe is a neighbour that should be verified.
type Probe struct {
	Link    uint32
	Address netip.Addr
}

// maxProbes bounds one round.
const maxProbes = 256

// Unresolved is signalled when a next hop has no usable neighbour: Probes will name it.
func (e *Engine) Unresolved() <-chan struct{} { return e.lonely }

// Probes lists what should be probed now: next hops that are not known to be reachable, and stale
// neighbours that packets went to since the last call. The kernel limits how often it really asks.
func (e *Engine) Probes() []Probe {
	e.mu.Lock()
	defer e.mu.Unlock()
	var l []Probe
	for k, h := range e.hops.byKey {
		p := e.ports[k.link]
		if len(l) == maxProbes {
			break
		}
		if p == nil || p.link.Index == 0 || !p.link.Up {
			continue
		}
		n, known := e.neighbors[neighborKey{p.link.Index, k.address}]
		if known && !e.unsure(n, h) {
			continue
		}
		l = append(l, Probe{p.link.Index, k.address})
	}
	return l
}

// unsure says whether a neighbour needs a probe. Neighbours of connected prefixes are left to grow old while
// nobody sends to them.
func (e *Engine) unsure(n Neighbor, h *nextHop) bool {
	switch n.State {
	case "permanent", "reachable", "delay", "probe", "incomplete":
		return false
	}
	if e.programmed(h) {
		return true
	}
	packets, _ := e.hopPackets(h.counter)
	used := packets != h.seen
	h.seen = packets
	return used
}

// programmed says whether a programmed group sends by the next hop.
func (e *Engine) programmed(h *nextHop) bool {
	for slot := range h.groups {
		if g := e.groups.slots[slot]; g != nil && !g.derived {
			return true
		}
	}
	return false
}
