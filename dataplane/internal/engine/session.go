// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
)

// idleGroups is how many groups are kept that have lost their last route. One that never had a route stays
// until its room is needed.
const idleGroups = 1024

// Session is a programmer's turn, from Open to the next one's.
type Session struct {
	e          *Engine
	generation uint64
	ended      chan struct{}
}

// Opened is what a programmer finds.
type Opened struct {
	Generation uint64 // whose end of sync was applied last
	Routes     uint64
}

// Open begins a session and ends the one before. What is installed goes on forwarding; what this session
// does not repeat until EndOfSync is swept then.
func (e *Engine) Open(token, generation uint64) (*Session, Opened, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if token < e.memory.Tables.Control.ProgrammerToken {
		return nil, Opened{}, ErrFenced
	}
	e.memory.Tables.Control.ProgrammerToken = token
	if e.session != nil {
		close(e.session.ended)
	}
	e.session = &Session{e: e, generation: generation, ended: make(chan struct{})}
	// Ids mean nothing across sessions; groups that send packets the same way are found by content.
	clear(e.groups.byID)
	for _, g := range e.groups.slots {
		if g != nil {
			g.marked = false
		}
	}
	e.v4.Unmark()
	e.v6.Unmark()
	routes := e.v4.Len(fib.Programmed) + e.v6.Len(fib.Programmed)
	return e.session, Opened{e.synced, uint64(routes)}, nil
}

// Ended is closed when a newer session begins.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Apply makes one transaction of a batch. After an error nothing has changed.
func (s *Session) Apply(b Batch) error {
	if err := b.check(); err != nil {
		return err
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.e.session != s {
		return ErrSuperseded
	}
	return s.e.transact(func(t *transaction) error {
		t.collect(idleGroups)
		for _, g := range b.Groups {
			if err := t.group(g); err != nil {
				return err
			}
		}
		if err := t.routes(b.V4, false); err != nil {
			return err
		}
		return t.routes(b.V6, true)
	})
}

func (b Batch) check() error {
	for _, g := range b.Groups {
		if err := g.check(); err != nil {
			return err
		}
	}
	for i, c := range []Columns{b.V4, b.V6} {
		octets := 4 + 12*i
		if err := checkColumn(c.Prefixes, octets); err != nil {
			return err
		}
		if err := checkColumn(c.Withdrawn, octets); err != nil {
			return err
		}
		if len(c.Prefixes)/(octets+1) != len(c.Groups) {
			return invalid("%d prefixes with %d groups", len(c.Prefixes)/(octets+1), len(c.Groups))
		}
	}
	return nil
}

// group stages a group of the session.
func (t *transaction) group(g Group) error {
	e := t.e
	if old := e.groups.byID[g.ID]; old != nil {
		if old.content() == g.content() {
			return nil
		}
		e.forget(old)
		n := e.newGroup(g, old.slot, false, old)
		n.marked = true
		t.place(old.slot, n)
		e.remember(n)
		return nil
	}
	if old := e.groups.byContent[g.content()]; old != nil && !old.marked {
		t.renamed = append(t.renamed, rename{old, old.ID, old.marked})
		old.ID, old.marked = g.ID, true
		e.remember(old)
		old.resting = 0 // it is wanted again
		return nil
	}
	slot, err := t.slot()
	if err != nil {
		return err
	}
	n := e.newGroup(g, slot, false, nil)
	n.marked = true
	t.place(slot, n)
	e.remember(n)
	return nil
}

// slot finds a free slot, collecting groups that nothing uses if it must.
func (t *transaction) slot() (uint16, error) {
	e := t.e
	limit := e.options.Limits.Groups
	if e.groups.free.count-len(e.hosts) >= limit {
		t.collectAll()
	}
	if e.groups.free.count-len(e.hosts)-t.freed() >= limit {
		return 0, &fib.LimitError{Limit: "groups", Max: limit}
	}
	slot, ok := e.groups.free.take()
	if !ok {
		return 0, &fib.LimitError{Limit: "groups", Max: limit}
	}
	return uint16(slot), nil
}

// freed is the number of slots that this transaction empties: they come free with it.
func (t *transaction) freed() int {
	n := 0
	for _, c := range t.changes {
		if c.new == nil {
			n++
		}
	}
	return n
}

// rested is a group that lost its last route; it counts if its number is still the group's.
type rested struct {
	g      *group
	number uint64
}

// rest puts a group that lost its last route at the end of the line for collection.
func (e *Engine) rest(g *group) {
	e.restings++
	g.resting = e.restings
	e.idle = append(e.idle, rested{g, e.restings})
}

// collectAll gives up every group without a route, but for those of this transaction.
func (t *transaction) collectAll() {
	for slot, g := range t.e.groups.slots {
		if g != nil && !g.derived && g.routes == 0 && t.changes[uint16(slot)] == nil {
			t.e.forget(g)
			t.place(g.slot, nil)
		}
	}
}

// collect gives up the groups that have been without a route for longest, but for the last keep.
func (t *transaction) collect(keep int) {
	e := t.e
	for len(e.idle) > keep {
		r := e.idle[0]
		e.idle = e.idle[1:]
		if r.g.routes > 0 || r.number != r.g.resting || e.groups.slots[r.g.slot] != r.g || t.changes[r.g.slot] != nil {
			continue
		}
		e.forget(r.g)
		t.place(r.g.slot, nil)
	}
}

// routes stages the routes of one family.
func (t *transaction) routes(c Columns, v6 bool) error {
	octets, limit := 4, t.e.options.Limits.RoutesV4
	full := "routes-v4"
	if v6 {
		octets, limit, full = 16, t.e.options.Limits.RoutesV6, "routes-v6"
	}
	t.undo = slices.Grow(t.undo, len(c.Groups)+len(c.Withdrawn)/(octets+1))
	for i := range len(c.Withdrawn) / (octets + 1) {
		key, bits := route(c.Withdrawn, i, octets)
		t.unset(v6, key, bits, fib.Programmed)
	}
	for i, id := range c.Groups {
		key, bits := route(c.Prefixes, i, octets)
		g := t.e.groups.byID[id]
		if g == nil {
			return &RouteError{prefixText(key, bits), invalid("group %d is not known in this session", id)}
		}
		t.set(v6, key, bits, fib.Programmed, g, true)
		if t.e.table(v6).Len(fib.Programmed) > limit {
			return &RouteError{prefixText(key, bits), &fib.LimitError{Limit: full, Max: limit}}
		}
	}
	return nil
}

// EndOfSync sweeps what the session did not repeat and stores its generation with the tables.
func (s *Session) EndOfSync() error {
	e := s.e
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.session != s {
		return ErrSuperseded
	}
	was := e.synced
	e.synced = s.generation
	err := e.transact(func(t *transaction) error {
		t.header = true
		for _, v6 := range []bool{false, true} {
			for _, p := range unmarked(e.table(v6)) {
				t.unset(v6, p.Addr().AsSlice(), p.Bits(), fib.Programmed)
			}
		}
		for _, g := range e.groups.slots {
			if g != nil && !g.derived && !g.marked && g.routes == 0 && t.changes[g.slot] == nil {
				e.forget(g)
				t.place(g.slot, nil)
			}
		}
		return nil
	})
	if err != nil {
		e.synced = was
		return err
	}
	atomic.StoreUint64(&e.memory.Tables.Control.Ready, 1)
	return e.fill()
}

// fill lets older programs go once this one's tables know both routes and ports.
func (e *Engine) fill() error {
	if !e.declared || !e.Ready() {
		return nil
	}
	return e.options.Attacher.Filled()
}

// Ready says whether the tables were ever filled by a programmer.
func (e *Engine) Ready() bool { return atomic.LoadUint64(&e.memory.Tables.Control.Ready) != 0 }

// unmarked lists the programmed routes that were not repeated.
func unmarked(t *fib.Table) []netip.Prefix {
	var l []netip.Prefix
	t.Walk(func(r fib.Route) bool {
		if r.Layer == fib.Programmed && !r.Marked {
			l = append(l, r.Prefix)
		}
		return true
	})
	return l
}
