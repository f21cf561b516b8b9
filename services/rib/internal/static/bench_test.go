// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package static

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/ashlar-nos/ashlar/services/kit/owner"
	"github.com/ashlar-nos/ashlar/services/rib/internal/links"
)

// BenchmarkCommit moves seven of a thousand routes from one link to the other, dataplane in memory.
func BenchmarkCommit(b *testing.B) {
	r, ctx := newRig(b), context.Background()
	r.links.Set(links.Interface{Name: "ge2", Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}})
	seven := func(base int, hop string) (objects []owner.Object) {
		for i := range 7 {
			prefix := fmt.Sprintf("10.%d.%d.0/24", base, i)
			objects = append(objects, object(at(prefix), hops(prefix, next("1", hop))))
		}
		return objects
	}
	for i := range 143 {
		if err := r.Commit(ctx, change(seven(i, "198.51.100.10")...)); err != nil {
			b.Fatal(err)
		}
	}
	changes := []owner.Change{change(seven(0, "203.0.113.10")...), change(seven(0, "198.51.100.10")...)}
	n := 0
	for b.Loop() {
		if err := r.Prepare(ctx, changes[n%2]); err != nil {
			b.Fatal(err)
		}
		if err := r.Commit(ctx, changes[n%2]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
