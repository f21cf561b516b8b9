// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"testing"
)

// BenchmarkTransact is one writer's durable transactions, as a configuration commit makes them.
func BenchmarkTransact(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprint(n, "-rows"), func(b *testing.B) {
			s := start(b, b.TempDir(), nil)
			sequence := uint64(0)
			for b.Loop() {
				sequence++
				t := Transaction{Token: 1, Client: "c", Sequence: sequence}
				for i := range n {
					t.Operations = append(t.Operations, putOp(tableA, fmt.Sprint("k", i), int64(sequence)))
				}
				if _, err := s.Transact(b.Context(), writerA, t); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
