// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"fmt"
	"net/netip"
	"time"
)

// historySize is how many changes are remembered, of all prefixes together. A burst of a million routes drives
// older ones out; the memory stays bounded.
const historySize = 4096

// Change is what happened to the best path of a prefix.
type Change struct {
	At     time.Time
	Prefix netip.Prefix
	// From and To are the sources of the best path before and after, empty for none.
	From, To string
	// Reason is a sentence for the operator.
	Reason string
}

// change is a Change before somebody asks for it: nothing of it is made for the occasion.
type change struct {
	at       time.Time
	prefix   netip.Prefix
	from, to *Source
	// why is what made the path before unreachable, empty when it was withdrawn or is still there.
	why string
	// left says that the source before has no path any more.
	left bool
}

// history is a ring of the newest changes.
type history struct {
	ring []change
	next int
}

func (h *history) add(c change) {
	if len(h.ring) < historySize {
		h.ring = append(h.ring, c)
		return
	}
	h.ring[h.next] = c
	h.next = (h.next + 1) % historySize
}

// newest yields the changes, the newest first.
func (h *history) newest(yield func(change) bool) {
	for i := len(h.ring) - 1; i >= 0; i-- {
		if !yield(h.ring[(h.next+i)%len(h.ring)]) {
			return
		}
	}
}

// note remembers that the best path of a prefix is from another source than before, or leads elsewhere.
func (t *Table) note(e *entry) {
	was, now := e.told, e.best
	if was == now || was != nil && now != nil && was.source == now.source && was.set == now.set {
		e.told = now
		return
	}
	c := change{at: t.now, prefix: e.Prefix(), left: true}
	if was != nil {
		c.from = was.source
		for p := e.first; p != nil; p = p.next {
			if p.source == was.source {
				c.left = false
				c.why = p.set.outcome.reason
			}
		}
	}
	if now != nil {
		c.to = now.source
	}
	e.told = now
	t.history.add(c)
}

// Changes returns the newest changes, at most limit, of prefixes that cover an address, the newest first.
func (t *Table) Changes(a netip.Addr, limit int) []Change {
	var out []Change
	for c := range t.history.newest {
		if len(out) == limit {
			break
		}
		if c.prefix.Contains(a) {
			out = append(out, c.tell())
		}
	}
	return out
}

func (c change) tell() Change {
	out := Change{At: c.at, Prefix: c.prefix}
	if c.from != nil {
		out.From = c.from.name
	}
	if c.to != nil {
		out.To = c.to.name
	}
	out.Reason = c.reason(out.From, out.To)
	return out
}

func (c change) reason(from, to string) string {
	switch {
	case from == "":
		return to + " brought a route"
	case to == "" && c.left:
		return from + " withdrew its route and nobody else has one"
	case to == "":
		return fmt.Sprintf("the route of %s became unreachable: %s", from, c.why)
	case from == to:
		return from + " leads it another way"
	case c.left:
		return fmt.Sprintf("%s withdrew its route; %s has one", from, to)
	case c.why != "":
		return fmt.Sprintf("the route of %s became unreachable (%s); %s has one", from, c.why, to)
	}
	return fmt.Sprintf("%s is preferred to %s", to, from)
}
