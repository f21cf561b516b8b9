// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib/fibtest"
)

// routes is a small way to build a table: prefix, source, path.
type routes []struct {
	prefix, source string
	path           Path
}

func build(t *testing.T, links []string, all routes) *Table {
	t.Helper()
	table := newTable(generous)
	for _, l := range links {
		table.SetInterface(l, true)
	}
	for _, r := range all {
		if err := table.Set(pfx(r.prefix), table.Source(r.source), 0, r.path); err != nil {
			t.Fatal(err)
		}
	}
	table.Settle()
	return table
}

func TestReasons(t *testing.T) {
	lab := routes{
		{"198.51.100.0/24", "connected", connected("ge1")},
		{"198.51.100.1/32", "local", local()},
	}
	tests := []struct {
		desc   string
		routes routes
		prefix string
		reason string
	}{
		{"nothing covers the next hop", routes{{"10.0.0.0/8", "static", via(1, "203.0.113.7")}},
			"10.0.0.0/8", "no route to 203.0.113.7"},
		{"only the route itself covers it", routes{{"10.0.0.0/8", "static", via(1, "10.1.1.1")}},
			"10.0.0.0/8", "the way to 10.1.1.1 loops through 10.0.0.0/8"},
		{"a default through itself", routes{{"0.0.0.0/0", "static", via(1, "203.0.113.7")}},
			"0.0.0.0/0", "the way to 203.0.113.7 loops through 0.0.0.0/0"},
		{"two routes through one another", routes{
			{"10.1.0.0/16", "static", via(1, "10.2.0.1")}, {"10.2.0.0/16", "static", via(1, "10.1.0.1")},
		}, "10.1.0.0/16", "loops through"},
		{"an interface that is not there", routes{{"10.0.0.0/8", "static", via(1, "192.0.2.9%ge9")}},
			"10.0.0.0/8", "interface ge9 is not configured or does not exist"},
		{"an interface that is down", routes{{"10.0.0.0/8", "static", via(1, "192.0.2.9%down")}},
			"10.0.0.0/8", "interface down is down"},
		{"the device itself", routes{{"10.0.0.0/8", "static", via(1, "198.51.100.1")}},
			"10.0.0.0/8", "198.51.100.1 is this device's own address"},
		{"not best", routes{{"198.51.100.0/24", "static", via(1, "198.51.100.10%ge1")}},
			"198.51.100.0/24", "connected is preferred (distance 0, metric 0)"},
		{"one of two", routes{{"10.0.0.0/8", "static", via(1, "198.51.100.10", "203.0.113.7")}},
			"10.0.0.0/8", "waiting for the dataplane"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			table := build(t, []string{"ge1"}, append(lab, tt.routes...))
			table.SetInterface("down", false)
			table.Settle()
			ref, ok := table.Find(pfx(tt.prefix))
			if !ok {
				t.Fatal("not kept in the table")
			}
			all := table.Paths(ref)
			if got := all[len(all)-1].Reason; !strings.Contains(got, tt.reason) {
				t.Fatalf("reason %q, want %q", got, tt.reason)
			}
		})
	}
}

func TestDepthIsBounded(t *testing.T) {
	table := newTable(generous)
	table.SetInterface("ge0", true)
	chain := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
	for i := range MaxDepth + 2 {
		p := via(1, chain(i+1).String())
		if i == MaxDepth+1 {
			p = connected("ge0")
		}
		if err := table.Set(host(chain(i)), table.Source("static"), 0, p); err != nil {
			t.Fatal(err)
		}
	}
	table.Settle()
	if ref, _ := table.Find(host(chain(0))); table.Paths(ref)[0].Best || !strings.Contains(table.Paths(ref)[0].Reason, "deep") {
		t.Fatalf("%+v", table.Paths(ref)[0])
	}
	if ref, _ := table.Find(host(chain(3))); !table.Paths(ref)[0].Best {
		t.Fatalf("%+v", table.Paths(ref)[0])
	}
}

func TestBranchesAreBounded(t *testing.T) {
	table := newTable(DefaultLimits())
	level := func(l, i int) string { return netip.AddrFrom4([4]byte{10, 0, byte(l), byte(i)}).String() }
	for l := range 10 {
		var next []string
		for i := range 16 {
			next = append(next, level(l+1, i))
		}
		for i := range 16 {
			if err := table.Set(host(ip(level(l, i))), table.Source("static"), 0, via(1, next...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	table.Settle()
	ref, _ := table.Find(host(ip(level(0, 0))))
	if _, ok := table.Best(ref); ok {
		t.Fatal("reachable")
	}
}

func TestWeightsFollowRecursion(t *testing.T) {
	table := build(t, []string{"ge1", "ge2"}, routes{
		{"198.51.100.0/24", "connected", connected("ge1")},
		{"203.0.113.0/24", "connected", connected("ge2")},
		{"10.1.0.0/16", "bgp", via(20, "198.51.100.10*1", "203.0.113.10*3")},
		{"10.2.0.0/16", "bgp", via(20, "10.1.0.1*2", "198.51.100.10*1")},
	})
	ref, _ := table.Find(pfx("10.2.0.0/16"))
	best, _ := table.Best(ref)
	want := []fib.Hop{
		{Interface: "ge1", Address: ip("198.51.100.10"), Weight: 1},
		{Interface: "ge2", Address: ip("203.0.113.10"), Weight: 1},
	}
	if !best.Resolved.Equal(fib.Content{Action: fib.Forward, Hops: want}) {
		t.Fatalf("%+v", best.Resolved)
	}
}

func TestFloatingStaticTakesOver(t *testing.T) {
	table := build(t, []string{"ge1", "ge2"}, nil)
	if err := table.Set(pfx("10.0.0.0/8"), table.Source("static"), 0,
		via(1, "198.51.100.10%ge1"), via(250, "203.0.113.10%ge2")); err != nil {
		t.Fatal(err)
	}
	table.Settle()
	for _, tt := range []struct {
		up   bool
		want string
	}{{true, "ge1"}, {false, "ge2"}, {true, "ge1"}} {
		table.SetInterface("ge1", tt.up)
		table.Settle()
		ref, _ := table.Lookup(ip("10.1.1.1"))
		if best, _ := table.Best(ref); best.Resolved.Hops[0].Interface != tt.want {
			t.Fatalf("ge1 up %v: %+v", tt.up, best)
		}
	}
}

func TestDiscardIsInherited(t *testing.T) {
	table := build(t, nil, routes{
		{"192.0.2.1/32", "static", drop(1)},
		{"10.66.0.0/16", "bgp", via(20, "192.0.2.1")},
	})
	ref, _ := table.Find(pfx("10.66.0.0/16"))
	if best, ok := table.Best(ref); !ok || best.Resolved.Action != fib.Drop {
		t.Fatalf("%+v", best)
	}
}

func TestLimits(t *testing.T) {
	table := newTable(Limits{Paths: 2, Sets: 2, Steps: 100})
	static := table.Source("static")
	set := func(p string, path Path) error { return table.Set(pfx(p), static, 0, path) }
	for _, p := range []string{"10.0.0.0/16", "10.1.0.0/16"} {
		if err := set(p, drop(1)); err != nil {
			t.Fatal(err)
		}
	}
	var full *FullError
	if err := set("10.2.0.0/16", drop(1)); !errors.As(err, &full) || full.Limit != "paths" {
		t.Fatalf("error %v", err)
	}
	if err := set("10.1.0.0/16", drop(9)); err != nil { // instead of what was there
		t.Fatal("a replacement needs no room:", err)
	}
	table.Remove(pfx("10.0.0.0/16"), static)
	if err := set("10.0.0.0/16", via(1, "192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	if err := set("10.0.0.0/16", via(1, "192.0.2.2")); !errors.As(err, &full) || full.Limit != "sets of next hops" {
		t.Fatalf("error %v", err)
	}
	table.Settle()
	if _, paths, sets := table.Size(); paths != 2 || sets != 2 {
		t.Fatalf("%d paths, %d sets", paths, sets)
	}
}

func TestSweepTakesTheStale(t *testing.T) {
	table := newTable(generous)
	bgp := table.Source("bgp")
	for i, mark := range []uint32{1, 2, 1, 2} {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16)
		if err := table.Set(prefix, bgp, mark, drop(20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Set(pfx("10.0.0.0/16"), bgp, 2, drop(20)); err != nil { // repeated
		t.Fatal(err)
	}
	if n := table.Sweep(bgp, 2); n != 1 || bgp.Paths() != 3 {
		t.Fatalf("%d swept, %d left", n, bgp.Paths())
	}
	table.Settle()
	if _, ok := table.Find(pfx("10.2.0.0/16")); ok {
		t.Fatal("the stale prefix is still there")
	}
}

// many fills a table with n routes by one recursive next hop.
func many(tb testing.TB, table *Table, n int) {
	bgp := table.Source("bgp")
	for i := range n {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 16<<24+uint32(i)<<8)
		if err := table.Set(netip.PrefixFrom(netip.AddrFrom4(a), 24), bgp, 0, via(20, "10.0.0.1")); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestFailureIsPrefixIndependent(t *testing.T) {
	table, engine := newTable(generous), fibtest.New()
	table.SetInterface("ge1", true)
	table.SetInterface("ge2", true)
	for _, r := range []struct{ p, link string }{{"198.51.100.0/24", "ge1"}, {"203.0.113.0/24", "ge2"}} {
		if err := table.Set(pfx(r.p), table.Source("connected"), 0, connected(r.link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Set(pfx("10.0.0.0/24"), table.Source("static"), 0, via(1, "198.51.100.10", "203.0.113.10")); err != nil {
		t.Fatal(err)
	}
	many(t, table, 20000)
	table.Settle()
	program(t, table, engine)
	before := table.Outbox().Stats()
	table.SetInterface("ge1", false)
	table.Remove(pfx("198.51.100.0/24"), table.Source("connected"))
	table.Settle()
	program(t, table, engine)
	after := table.Outbox().Stats()
	if groups, routes := after.Groups-before.Groups, after.Routes-before.Routes; groups > 2 || routes > 1 {
		t.Fatalf("%d groups and %d routes written for 20,000 dependants", groups, routes)
	}
	got, _ := engine.Content(pfx("16.0.5.0/24"))
	if len(got.Hops) != 1 || got.Hops[0].Interface != "ge2" {
		t.Fatalf("%+v", got)
	}
}

func BenchmarkConverge100k(b *testing.B) {
	for b.Loop() {
		table := newTable(generous)
		table.SetInterface("ge1", true)
		if err := table.Set(pfx("10.0.0.0/24"), table.Source("connected"), 0, connected("ge1")); err != nil {
			b.Fatal(err)
		}
		many(b, table, 100_000)
		table.Settle()
		for batch := table.Outbox().Next(); batch != nil; batch = table.Outbox().Next() {
			if err := table.Outbox().Acknowledge(batch.Sequence, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
}
