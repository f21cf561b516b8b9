// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"net/netip"
	"testing"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
)

func TestChangesSayWhy(t *testing.T) {
	tab := New(DefaultLimits(), fib.Config{BatchSize: 10, Window: 10})
	static, bgp := tab.Source("static"), tab.Source("bgp")
	prefix, address := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr("198.51.100.9")
	by := func(distance uint8, hop, link string) Path {
		return Path{Kind: fib.Forward, Distance: distance, NextHops: []NextHop{{Address: netip.MustParseAddr(hop), Interface: link}}}
	}
	set := func(s *Source, p Path) {
		t.Helper()
		if err := tab.Set(prefix, s, 1, p); err != nil {
			t.Fatal(err)
		}
	}
	tab.SetInterface("ge0", true)
	tab.SetInterface("ge1", true)
	for _, step := range []struct {
		desc   string
		do     func()
		reason string
	}{
		{"first", func() { set(bgp, by(200, "192.0.2.1", "ge0")) }, "bgp brought a route"},
		{"preferred", func() { set(static, by(1, "192.0.2.5", "ge1")) }, "static is preferred to bgp"},
		{"link down", func() { tab.SetInterface("ge1", false) }, "the route of static became unreachable (interface ge1 is down); bgp has one"},
		{"link up", func() { tab.SetInterface("ge1", true) }, "static is preferred to bgp"},
		{"another way", func() { set(static, by(1, "192.0.2.6", "ge1")) }, "static leads it another way"},
		{"withdrawn", func() { tab.Remove(prefix, static) }, "static withdrew its route; bgp has one"},
		{"unreachable", func() { tab.SetInterface("ge0", false) }, "the route of bgp became unreachable: interface ge0 is down"},
	} {
		step.do()
		tab.Settle()
		got := tab.Changes(address, 1)
		if len(got) != 1 || got[0].Reason != step.reason || got[0].Prefix != prefix || got[0].At.IsZero() {
			t.Errorf("%s: %+v, want %q", step.desc, got, step.reason)
		}
	}
	tab.SetInterface("ge0", true)
	tab.Settle()
	tab.Remove(prefix, bgp)
	tab.Settle()
	if got := tab.Changes(address, 100); len(got) != 9 || got[0].Reason != "bgp withdrew its route and nobody else has one" {
		t.Errorf("%d changes, the newest is %+v", len(got), got[0])
	}
	if got := tab.Changes(netip.MustParseAddr("192.0.2.1"), 100); len(got) != 0 {
		t.Errorf("changes of an address that no route covered: %+v", got)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	tab := New(DefaultLimits(), fib.Config{BatchSize: 10, Window: 10})
	source := tab.Source("static")
	for i := range historySize + 10 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		if err := tab.Set(prefix, source, 1, Path{Kind: fib.Drop, Distance: 1}); err != nil {
			t.Fatal(err)
		}
	}
	tab.Settle()
	n := 0
	for range tab.history.newest {
		n++
	}
	if n != historySize {
		t.Errorf("%d changes are kept, the limit is %d", n, historySize)
	}
}
