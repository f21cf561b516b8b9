// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkSet moves seven static routes from link to link: a prepare and a commit each, over real sockets.
func BenchmarkSet(b *testing.B) {
	h := newHouse(b).start()
	changes := [2]map[string]string{{}, {}}
	for i := range 7 {
		prefix := fmt.Sprintf("10.%d.0.0/16", i)
		changes[0][at(prefix)] = route(prefix, "198.51.100.10")
		changes[1][at(prefix)] = route(prefix, "203.0.113.10")
	}
	n := 0
	for b.Loop() {
		if err := h.Config.Set(context.Background(), changes[n%2]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
