// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import (
	"fmt"

	"github.com/ashlar-nos/ashlar/dataplane/internal/arena"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// LimitError says which limit a transaction would exceed. Nothing of the transaction was applied.
type LimitError struct {
	Limit string // for example "routes-v4"
	Max   int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("table %s is full: limit %d", e.Limit, e.Max)
}

// Space is the free and the used part of the shared memory. It is not safe for concurrent use.
type Space struct {
	Memory *tables.Memory
	lines  *arena.Allocator
	shadow *arena.Allocator
	// retired blocks may still be read, by a packet that began before the last flip or by a dump.
	retired []block
}

type block struct {
	unit   uint32
	units  int
	shadow bool
}

// NewSpace takes memory of which nothing is in use.
func NewSpace(m *tables.Memory) *Space {
	s := &Space{Memory: m, lines: arena.New(tables.ArenaUnits), shadow: arena.New(tables.ShadowUnits)}
	s.lines.Reserve(0, tables.ReservedUnits)
	s.shadow.Reserve(0, 1)
	return s
}

// Reserve marks a block of the arena that was found in use; false when it cannot be one.
func (s *Space) Reserve(unit uint32, units int) bool { return s.lines.Reserve(unit, units) }

// ReserveShadow marks a block of the shadow that was found in use.
func (s *Space) ReserveShadow(unit uint32, bytes int) bool {
	return s.shadow.Reserve(unit, shadowUnits(bytes))
}

// Usage returns used and available units of the arena and of the shadow.
func (s *Space) Usage() (lines, lineLimit, shadow, shadowLimit int) {
	return s.lines.Used(), s.lines.Units(), s.shadow.Used(), s.shadow.Units()
}

// Grave is what transactions gave up, to be released once no packet can see it.
type Grave []block

// TakeRetired returns the blocks retired since the last call. They are free again after a grace period, by Release.
func (s *Space) TakeRetired() Grave {
	r := s.retired
	s.retired = nil
	return r
}

// Release frees blocks after their grace period.
func (s *Space) Release(g Grave) {
	for _, b := range g {
		s.free(b)
	}
}

func (s *Space) free(b block) {
	if b.shadow {
		s.shadow.Free(b.unit, b.units)
	} else {
		s.lines.Free(b.unit, b.units)
	}
}

// Retired is the number of blocks that wait for a grace period.
func (s *Space) Retired() int { return len(s.retired) }

func shadowUnits(bytes int) int {
	return (bytes + tables.ShadowUnitBytes - 1) / tables.ShadowUnitBytes
}

func unitsFor(bytes int) int { return (bytes + tables.UnitBytes - 1) / tables.UnitBytes }

// Writer collects what one transaction takes and gives up. Exactly one of Commit and Abort ends it.
type Writer struct {
	*Space
	taken []block
	given []block
}

// Writer begins a transaction.
func (s *Space) Writer() *Writer { return &Writer{Space: s} }

// Take allocates a block of the arena.
func (w *Writer) Take(units int) (uint32, error) {
	u, ok := w.lines.Alloc(units)
	if !ok {
		return 0, &LimitError{"lines", tables.ArenaUnits}
	}
	w.taken = append(w.taken, block{u, units, false})
	return u, nil
}

// TakeShadow allocates a block of the shadow.
func (w *Writer) TakeShadow(bytes int) (uint32, error) {
	n := shadowUnits(bytes)
	u, ok := w.shadow.Alloc(n)
	if !ok {
		return 0, &LimitError{"shadow", tables.ShadowUnits}
	}
	w.taken = append(w.taken, block{u, n, true})
	return u, nil
}

// Give retires a block of the arena if the transaction commits.
func (w *Writer) Give(unit uint32, units int) {
	w.given = append(w.given, block{unit, units, false})
}

// GiveShadow retires a block of the shadow if the transaction commits.
func (w *Writer) GiveShadow(unit uint32, bytes int) {
	w.given = append(w.given, block{unit, shadowUnits(bytes), true})
}

// Commit is called after the flip: given blocks leave, taken ones stay.
func (w *Writer) Commit() { w.retired = append(w.retired, w.given...) }

// Abort frees what was taken; no packet has seen it.
func (w *Writer) Abort() {
	for _, b := range w.taken {
		w.free(b)
	}
}
