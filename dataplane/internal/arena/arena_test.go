// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package arena

import (
	"testing"

	"pgregory.net/rapid"
)

// TestBlocksNeverOverlap drives random allocations and frees against a map of owners, and ends with the
// whole space in one piece again.
func TestBlocksNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const units = 2048
		a := New(units)
		owner := make([]int, units)
		type block struct{ unit, size int }
		live := map[int]block{}
		next := 1
		t.Repeat(map[string]func(*rapid.T){
			"alloc": func(t *rapid.T) {
				size := rapid.IntRange(1, 1<<MaxOrder).Draw(t, "size")
				u, ok := a.Alloc(size)
				if !ok {
					t.Skip("full")
				}
				for i := int(u); i < int(u)+size; i++ {
					if owner[i] != 0 {
						t.Fatalf("unit %d belongs to %d", i, owner[i])
					}
					owner[i] = next
				}
				live[next] = block{int(u), size}
				next++
			},
			"free": func(t *rapid.T) {
				for id, b := range live {
					a.Free(uint32(b.unit), b.size)
					for i := b.unit; i < b.unit+b.size; i++ {
						owner[i] = 0
					}
					delete(live, id)
					return
				}
			},
			"": func(t *rapid.T) {
				want := 0
				for _, b := range live {
					want += 1 << order(b.size)
				}
				if a.Used() != want {
					t.Fatalf("used %d, want %d", a.Used(), want)
				}
			},
		})
		// A second allocator that reserves what lives is the same.
		r := New(units)
		for _, b := range live {
			if !r.Reserve(uint32(b.unit), b.size) {
				t.Fatalf("reserve %+v refused", b)
			}
			if r.Reserve(uint32(b.unit), b.size) {
				t.Fatalf("reserve %+v twice", b)
			}
		}
		for o := range a.free {
			for i := range units >> o {
				if a.free[o].has(i) != r.free[o].has(i) {
					t.Fatalf("order %d block %d differs after reserve", o, i)
				}
			}
		}
		for _, b := range live {
			a.Free(uint32(b.unit), b.size)
		}
		for i := 0; i < units; i += 1 << MaxOrder {
			if _, ok := a.Alloc(1 << MaxOrder); !ok {
				t.Fatal("not merged")
			}
		}
	})
}
