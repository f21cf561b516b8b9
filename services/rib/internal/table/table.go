// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/gaissmai/bart"
)

// Limits bound a table. What would exceed one is refused with a *FullError and changes nothing.
type Limits struct {
	Paths int
	Sets  int // of distinct next hops
	Steps int // routes looked at to resolve one set, whatever the shape of the recursion
}

// FullError names the limit that a change would exceed.
type FullError struct {
	Limit string
	Value int
}

func (e *FullError) Error() string {
	return fmt.Sprintf("the routing table is full: the limit of %d %s is reached", e.Value, e.Limit)
}

// DefaultLimits hold a full table of the Internet several times over.
func DefaultLimits() Limits { return Limits{Paths: 4 << 20, Sets: 1 << 18, Steps: 4096} }

// Table is the routing information base. See the package comment for what it promises.
type Table struct {
	limits  Limits
	outbox  *fib.Outbox
	entries bart.Table[*entry]

	sets       map[string]*set
	sources    map[string]*Source
	interfaces map[string]bool // up

	watchedAddresses  bart.Table[watchers]
	watchedInterfaces map[string]watchers

	history history
	// now is when the changes being put into effect happened.
	now time.Time

	paths        int
	resolutions  uint64
	dirtyEntries []*entry
	dirtySets    []*set
	emptySets    []*set
	key          []byte
	scratch      []*set
}

// watchers are the sets whose outcome depends on an address or an interface.
type watchers map[*set]struct{}

// New returns an empty table, which tells its wishes to an outbox made with cfg.
func New(limits Limits, cfg fib.Config) *Table {
	t := &Table{
		limits:            limits,
		sets:              map[string]*set{},
		sources:           map[string]*Source{},
		interfaces:        map[string]bool{},
		watchedInterfaces: map[string]watchers{},
	}
	cfg.Released = t.released
	t.outbox = fib.New(cfg)
	return t
}

// Outbox is where the table's wishes wait for the dataplane.
func (t *Table) Outbox() *fib.Outbox { return t.outbox }

// Source returns the source of a name, made at the first call.
func (t *Table) Source(name string) *Source {
	s, ok := t.sources[name]
	if !ok {
		s = &Source{name: name}
		t.sources[name] = s
	}
	return s
}

// OwnSource is Source for what the device itself needs and is few by nature: no limit applies to it, so
// that Set cannot fail.
func (t *Table) OwnSource(name string) *Source {
	s := t.Source(name)
	s.exempt = true
	return s
}

// Sources iterates over every source.
func (t *Table) Sources() iter.Seq[*Source] {
	return func(yield func(*Source) bool) {
		for _, s := range t.sources {
			if !yield(s) {
				return
			}
		}
	}
}

// Slots iterates over every prefix.
func (t *Table) Slots() iter.Seq[*fib.Slot] {
	return func(yield func(*fib.Slot) bool) {
		for _, e := range t.entries.All() {
			if !yield(&e.Slot) {
				return
			}
		}
	}
}

// SetInterface tells whether an interface can be used.
func (t *Table) SetInterface(name string, up bool) {
	was, known := t.interfaces[name]
	if known && was == up {
		return
	}
	t.interfaces[name] = up
	t.soil(t.watchedInterfaces[name])
}

// RemoveInterface tells that an interface is gone.
func (t *Table) RemoveInterface(name string) {
	if _, known := t.interfaces[name]; !known {
		return
	}
	delete(t.interfaces, name)
	t.soil(t.watchedInterfaces[name])
}

// Resolutions grows whenever a next hop became usable, ceased to be, or is missing for another reason.
func (t *Table) Resolutions() uint64 { return t.resolutions }

// Settle puts the changes since the last call into effect: it resolves the sets that could see one,
// chooses the best path of each prefix concerned and tells the outbox.
func (t *Table) Settle() {
	t.now = time.Now()
	slices.SortFunc(t.dirtySets, func(a, b *set) int { return cmp.Compare(a.group.ID(), b.group.ID()) })
	for _, s := range t.dirtySets {
		s.dirty = false
		if s.count > 0 {
			t.refresh(s)
		}
	}
	t.dirtySets = emptied(t.dirtySets)
	for _, e := range t.dirtyEntries {
		e.dirty = false
		t.prefer(e)
	}
	t.dirtyEntries = emptied(t.dirtyEntries)
	for _, s := range t.emptySets {
		if s.count == 0 {
			t.retire(s)
		}
	}
	t.emptySets = emptied(t.emptySets)
}

// emptied gives a list back for use again, unless it has grown large.
func emptied[T any](list []*T) []*T {
	const keep = 1 << 14
	if cap(list) > keep {
		return nil
	}
	clear(list)
	return list[:0]
}

// refresh computes a set's outcome again. Only when the set becomes reachable or ceases to be are its
// routes touched.
func (t *Table) refresh(s *set) {
	was := s.outcome.ok
	r := resolver{t: t}
	next := r.resolve(s)
	if was != next.ok || !slices.Equal(s.outcome.missing, next.missing) {
		t.resolutions++
	}
	s.outcome = next
	t.watch(s, r.addresses, r.interfaces)
	if s.outcome.ok {
		t.outbox.SetContent(s.group, s.outcome.content)
	}
	if was == s.outcome.ok {
		return
	}
	for p := s.paths; p != nil; p = p.setNext {
		t.soilEntry(p.entry)
	}
}

func (t *Table) prefer(e *entry) {
	e.best = e.choose()
	t.note(e)
	if e.best != nil {
		t.outbox.Want(&e.Slot, e.best.set.group)
		return
	}
	t.outbox.Want(&e.Slot, nil)
	if e.Clean() {
		t.released(&e.Slot)
	}
}

// released forgets a prefix that has no path and of which the dataplane has nothing.
func (t *Table) released(s *fib.Slot) {
	if e, ok := t.entries.Get(s.Prefix()); ok && &e.Slot == s && e.first == nil {
		t.entries.Delete(s.Prefix())
	}
}

func (t *Table) soilEntry(e *entry) {
	if !e.dirty {
		e.dirty = true
		t.dirtyEntries = append(t.dirtyEntries, e)
	}
}

func (t *Table) soilSet(s *set) {
	if !s.dirty {
		s.dirty = true
		t.dirtySets = append(t.dirtySets, s)
	}
}

func (t *Table) soil(w watchers) {
	for s := range w {
		t.soilSet(s)
	}
}
