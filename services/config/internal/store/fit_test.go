// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// TestFitsIsOnTheSafeSide: what fits is never larger than the state store takes, as it counts: table, key and
// value of each operation, and 16 bytes.
func TestFitsIsOnTheSafeSide(t *testing.T) {
	const most = 15 << 20
	text := []byte(strings.Repeat("x", most))
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 100, 1000}).Draw(t, "objects")
		path := gpath.MustParse("/interfaces/interface[name=" + strings.Repeat("n", rapid.IntRange(1, 1200).Draw(t, "name")) + "]")
		before := text[:rapid.IntRange(0, most/n).Draw(t, "before")]
		after := text[:rapid.IntRange(0, (most-n*len(before))/n).Draw(t, "after")]
		var there, back []Change
		for range n {
			there = append(there, Change{Path: path, Old: before, New: after})
			back = append(back, Change{Path: path, Old: after, New: before})
		}
		if Fits(there) != nil {
			return
		}
		for _, changes := range [][]Change{there, back} {
			ops, _, err := commitOperations(Revision{Number: 1 << 40, Time: time.Now(), User: strings.Repeat("u", 1000), Changes: changes})
			if err != nil {
				t.Fatal(err)
			}
			size := 64 * (KeptRevisions + 4) // dropped records, the head and its condition
			for _, op := range ops {
				size += 16 + len(op.GetPut().GetTable()+op.GetPut().GetKey()) + len(op.GetPut().GetValue()) +
					len(op.GetDelete().GetTable()+op.GetDelete().GetKey())
			}
			if size > most {
				t.Fatalf("%d objects make %d bytes", n, size)
			}
		}
	})
}
