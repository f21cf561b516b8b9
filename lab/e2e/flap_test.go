// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"testing"

	"github.com/ashlar-nos/ashlar/lab/topology"
)

// far sets the far end of a link up or down, as when a cable is pulled.
func (r *rig) far(t *testing.T, link topology.Link, up bool) {
	t.Helper()
	handle, err := r.Topology.Host(link).Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	end, err := handle.LinkByName(link.HostInterface)
	if err != nil {
		t.Fatal(err)
	}
	if up {
		err = handle.LinkSetUp(end)
	} else {
		err = handle.LinkSetDown(end)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A balanced route leaves a link that is down, and comes back to it.
func TestLinkFlaps(t *testing.T) {
	r := configured(t)
	r.answers(t, everywhere...)
	both := forwards("10.99.0.1", "ge1 198.51.100.10", "ge2 203.0.113.10")
	one := forwards("10.99.0.1", "ge1 198.51.100.10")
	for range 5 {
		r.far(t, topology.LinkB2, false)
		until(t, "one link", func(ctx context.Context) error { return one(ctx, r) })
		r.becomes(t, "/interfaces/interface[name=ge2]/state/oper-status", `"DOWN"`)
		r.far(t, topology.LinkB2, true)
		until(t, "both links", func(ctx context.Context) error { return both(ctx, r) })
		r.becomes(t, "/interfaces/interface[name=ge2]/state/oper-status", `"UP"`)
	}
	r.answers(t, everywhere...)
}
