// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package arena

import "math/bits"

// bitmap is a set of small integers that finds its lowest member in a few steps: each level above the
// first has a bit for every non-empty word below.
type bitmap struct {
	levels [][]uint64
}

func newBitmap(size int) bitmap {
	var b bitmap
	for {
		size = (size + 63) / 64
		b.levels = append(b.levels, make([]uint64, size))
		if size <= 1 {
			return b
		}
	}
}

func (b *bitmap) has(i int) bool { return b.levels[0][i/64]>>(i%64)&1 != 0 }

func (b *bitmap) set(i int) {
	for _, level := range b.levels {
		before := level[i/64]
		level[i/64] |= 1 << (i % 64)
		if before != 0 {
			return
		}
		i /= 64
	}
}

func (b *bitmap) clear(i int) {
	for _, level := range b.levels {
		level[i/64] &^= 1 << (i % 64)
		if level[i/64] != 0 {
			return
		}
		i /= 64
	}
}

// lowest returns -1 when the set is empty.
func (b *bitmap) lowest() int {
	i := 0
	for l := len(b.levels) - 1; l >= 0; l-- {
		word := b.levels[l][i]
		if word == 0 {
			return -1
		}
		i = i*64 + bits.TrailingZeros64(word)
	}
	return i
}
