// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package arena hands out runs of units from a fixed space: a buddy allocator whose state is kept apart
// from the space, so that the space can be memory that packets read.
//
// An Allocator is not safe for concurrent use. It always takes the lowest block that fits, which keeps
// what is used together and lets freed neighbours merge.
package arena

import (
	"fmt"
	"math/bits"
)

// MaxOrder bounds a block: 2^MaxOrder units.
const MaxOrder = 8

// Allocator allocates blocks of 1 to 2^MaxOrder units. A block's size is rounded up to a power of two.
type Allocator struct {
	free  [MaxOrder + 1]bitmap // by order; bit i is the block at unit i << order
	units int
	used  int
}

// New makes an allocator of a number of units, all free; it must be a multiple of 2^MaxOrder.
func New(units int) *Allocator {
	if units <= 0 || units%(1<<MaxOrder) != 0 {
		panic(fmt.Sprintf("arena: %d units is not a multiple of %d", units, 1<<MaxOrder))
	}
	a := &Allocator{units: units}
	for o := range a.free {
		a.free[o] = newBitmap(units >> o)
	}
	for i := range units >> MaxOrder {
		a.free[MaxOrder].set(i)
	}
	return a
}

func order(units int) int { return bits.Len(uint(units - 1)) }

// Used is the number of units handed out, with what rounding wastes.
func (a *Allocator) Used() int { return a.used }

// Units is the size of the whole space.
func (a *Allocator) Units() int { return a.units }

// Alloc returns the first unit of a free block, or false when there is none large enough.
func (a *Allocator) Alloc(units int) (uint32, bool) {
	want := order(units)
	for o := want; o <= MaxOrder; o++ {
		i := a.free[o].lowest()
		if i < 0 {
			continue
		}
		a.free[o].clear(i)
		a.split(i, o, i<<(o-want), want)
		a.used += 1 << want
		return uint32(i << o), true
	}
	return 0, false
}

// split returns to the free sets what is left of block i of order o when its sub-block keep of order want is taken.
func (a *Allocator) split(i, o, keep, want int) {
	for ; o > want; o-- {
		half := i * 2
		if keep>>(o-1-want) == half {
			a.free[o-1].set(half + 1)
		} else {
			a.free[o-1].set(half)
			half++
		}
		i = half
	}
}

// Reserve takes the block at a unit, which Alloc would have aligned there, and reports whether it was free.
func (a *Allocator) Reserve(unit uint32, units int) bool {
	want := order(units)
	if int(unit)+units > a.units || int(unit)%(1<<want) != 0 {
		return false
	}
	keep := int(unit) >> want
	for o := want; o <= MaxOrder; o++ {
		i := int(unit) >> o
		if !a.free[o].has(i) {
			continue
		}
		a.free[o].clear(i)
		a.split(i, o, keep, want)
		a.used += 1 << want
		return true
	}
	return false
}

// Free gives a block back. The size must be the one it was allocated with.
func (a *Allocator) Free(unit uint32, units int) {
	o := order(units)
	i := int(unit) >> o
	a.used -= 1 << o
	for o < MaxOrder && a.free[o].has(i^1) {
		a.free[o].clear(i ^ 1)
		i >>= 1
		o++
	}
	if a.free[o].has(i) {
		panic(fmt.Sprintf("arena: unit %d freed twice", unit))
	}
	a.free[o].set(i)
}
