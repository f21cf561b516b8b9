// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// fullTable is a million prefixes, mostly /24, in order.
func fullTable() (c Columns) {
	rng := rand.New(rand.NewPCG(1, 1))
	keys := map[uint64]struct{}{}
	for len(keys) < 1_000_000 {
		bits := 24
		if rng.IntN(10) < 4 {
			bits = 16 + rng.IntN(8)
		}
		a := (1<<24 + rng.Uint32N(222<<24)) &^ (1<<(32-bits) - 1)
		keys[uint64(a)<<8|uint64(bits)] = struct{}{}
	}
	for _, k := range slices.Sorted(mapKeys(keys)) {
		c.Prefixes = append(binary.BigEndian.AppendUint32(c.Prefixes, uint32(k>>8)), byte(k))
		c.Groups = append(c.Groups, uint32(1+rng.IntN(64)))
	}
	return c
}

func mapKeys(m map[uint64]struct{}) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func sixtyFourGroups() (l []Group) {
	for i := range 64 {
		l = append(l, Group{ID: uint32(i + 1), Action: Drop})
	}
	for i := range l {
		l[i].Action, l[i].Hops = Forward, hops("p0", "192.0.2.1")
		l[i].Hops[0].Weight = uint32(i + 1)
	}
	return l
}

func BenchmarkLoad(b *testing.B) {
	c := fullTable()
	for b.Loop() {
		b.StopTimer()
		r := newRig(b, DefaultLimits())
		r.follow(b)
		s := r.session(b, 1)
		b.StartTimer()
		if err := s.Apply(Batch{Groups: sixtyFourGroups(), V4: c}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		r.memory.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(len(c.Groups))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mroutes/s")
}

func BenchmarkAdopt(b *testing.B) {
	r := newRig(b, DefaultLimits())
	r.follow(b)
	if err := r.session(b, 1).Apply(Batch{Groups: sixtyFourGroups(), V4: fullTable()}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r.open(b)
	}
}

// BenchmarkSmallTransaction is 100 routes at a time in a full table.
func BenchmarkSmallTransaction(b *testing.B) {
	r := newRig(b, DefaultLimits())
	r.follow(b)
	s := r.session(b, 1)
	c := fullTable()
	if err := s.Apply(Batch{Groups: sixtyFourGroups(), V4: c}); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for b.Loop() {
		var small Columns
		for range 100 {
			i := rng.IntN(len(c.Groups))
			small.Prefixes = append(small.Prefixes, c.Prefixes[i*5:i*5+5]...)
			small.Groups = append(small.Groups, uint32(1+rng.IntN(64)))
		}
		if err := s.Apply(Batch{V4: small}); err != nil {
			b.Fatal(err)
		}
		if r.space.Retired() > 20000 {
			b.StopTimer()
			r.reclaimNow()
			b.StartTimer()
		}
	}
}
