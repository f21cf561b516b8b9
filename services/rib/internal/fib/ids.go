// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

// idBits of a group's id count groups of one process; the bits above name the process, so that what an
// earlier one left in the dataplane is not overwritten before it is swept.
const (
	idBits   = 24
	idSpaces = 127
)

// ids hands out group numbers, 1 to 2^31-1.
type ids struct {
	base    uint32
	next    uint32
	free    []uint32
	cooling []uint32 // given back while the dataplane may still use them
}

func newIDs(space uint64) ids {
	return ids{base: uint32(space%idSpaces) << idBits, next: 1}
}

func (i *ids) take() uint32 {
	if n := len(i.free); n > 0 {
		id := i.free[n-1]
		i.free = i.free[:n-1]
		return id
	}
	id := i.base + i.next
	i.next++
	return id
}

func (i *ids) give(id uint32, synced bool) {
	if synced {
		i.free = append(i.free, id)
		return
	}
	i.cooling = append(i.cooling, id)
}

// cooled says that the dataplane has swept what earlier sessions left.
func (i *ids) cooled() {
	i.free = append(i.free, i.cooling...)
	i.cooling = nil
}
