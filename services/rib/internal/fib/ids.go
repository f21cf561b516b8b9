// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

// ids hands out group numbers, 1 to 2^31-1, the lowest first as long as none came back. Numbers mean
// something within one session only, so a number may be used again once nothing of the session names it.
type ids struct {
	last uint32
	free []uint32
}

func (i *ids) take() uint32 {
	if n := len(i.free); n > 0 {
		id := i.free[n-1]
		i.free = i.free[:n-1]
		return id
	}
	i.last++
	return i.last
}

func (i *ids) give(id uint32) { i.free = append(i.free, id) }
