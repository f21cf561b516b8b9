// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

// indexes hands out the integers from 1 to a limit, lowest unused first where it is cheap. 0 stands for none.
type indexes struct {
	used  []uint64
	next  uint32 // nothing below is free
	count int
	limit int
}

func newIndexes(limit int) *indexes {
	x := &indexes{used: make([]uint64, (limit+63)/64), limit: limit, next: 1}
	x.used[0] = 1
	return x
}

func (x *indexes) has(i uint32) bool { return x.used[i/64]>>(i%64)&1 != 0 }

// take returns false when all are used.
func (x *indexes) take() (uint32, bool) {
	for int(x.next) < x.limit {
		i := x.next
		x.next++
		if !x.has(i) {
			x.used[i/64] |= 1 << (i % 64)
			x.count++
			return i, true
		}
	}
	return 0, false
}

// reserve takes one that was found in use; false if it is used already or cannot be.
func (x *indexes) reserve(i uint32) bool {
	if i == 0 || int(i) >= x.limit || x.has(i) {
		return false
	}
	x.used[i/64] |= 1 << (i % 64)
	x.count++
	return true
}

func (x *indexes) put(i uint32) {
	if i == 0 || !x.has(i) {
		return
	}
	x.used[i/64] &^= 1 << (i % 64)
	x.count--
	x.next = min(x.next, i)
}
