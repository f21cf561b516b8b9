// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib/fibtest"
)

// generous has no limit on steps that the model would not have.
var generous = Limits{Paths: 1 << 22, Sets: 1 << 18, Steps: math.MaxInt}

func newTable(limits Limits) *Table {
	t := New(limits, fib.Config{BatchSize: 4096, Window: 8})
	t.Outbox().Begin(t.Slots(), true)
	return t
}

// program lets an engine have everything the table wishes.
func program(t interface{ Fatal(...any) }, table *Table, engine *fibtest.Engine) {
	o := table.Outbox()
	for b := o.Next(); b != nil; b = o.Next() {
		var failures []fib.Failure
		if f := engine.Take(b); f != nil {
			failures = append(failures, *f)
		}
		if err := o.Acknowledge(b.Sequence, failures); err != nil {
			t.Fatal(err)
		}
	}
	if o.Settled() != o.Mark() {
		t.Fatal("not settled")
	}
}

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }
func drop(distance uint8) Path  { return Path{Kind: fib.Drop, Distance: distance} }
func local() Path               { return Path{Kind: fib.Local} }
func connected(link string) Path {
	return Path{Kind: fib.Connected, NextHops: []NextHop{{Interface: link}}}
}
func via(d uint8, h ...string) Path { // "address", "address%interface" or "address*weight"
	p := Path{Kind: fib.Forward, Distance: d}
	for _, s := range h {
		n := NextHop{}
		if a, w, ok := strings.Cut(s, "*"); ok {
			s, n.Weight = a, uint32(w[0]-'0')
		}
		a, link, _ := strings.Cut(s, "%")
		n.Address, n.Interface = ip(a), link
		p.NextHops = append(p.NextHops, n)
	}
	return p
}

func TestAgainstFullRecompute(t *testing.T) {
	prefixes := []netip.Prefix{
		pfx("0.0.0.0/0"), pfx("10.0.0.0/8"), pfx("10.1.0.0/16"), pfx("10.2.0.0/16"), pfx("10.1.1.0/24"),
		pfx("10.1.1.1/32"), pfx("10.2.2.2/32"), pfx("192.0.2.0/24"), pfx("192.0.2.1/32"), pfx("198.51.100.0/24"),
		pfx("::/0"), pfx("2001:db8::/32"), pfx("2001:db8:1::/48"), pfx("2001:db8:1::1/128"),
	}
	addresses := map[bool][]netip.Addr{
		true:  {ip("10.1.1.1"), ip("10.1.1.2"), ip("10.2.2.2"), ip("10.2.3.3"), ip("10.9.9.9"), ip("192.0.2.1"), ip("192.0.2.10"), ip("198.51.100.10"), ip("203.0.113.1")},
		false: {ip("2001:db8:1::1"), ip("2001:db8:1::2"), ip("2001:db8:2::2"), ip("2001:db9::1")},
	}
	links := []string{"ge0", "ge1", "ge2"}
	rapid.Check(t, func(t *rapid.T) {
		table, engine := newTable(generous), fibtest.New()
		engine.Open()
		model := &naive{paths: map[naiveKey][]Path{}, interfaces: map[string]bool{}}
		path := func(t *rapid.T, v4 bool) Path {
			p := Path{
				Distance: rapid.SampledFrom([]uint8{0, 1, 1, 20, 200}).Draw(t, "distance"),
				Metric:   rapid.SampledFrom([]uint32{0, 0, 5}).Draw(t, "metric"),
			}
			p.Kind = rapid.SampledFrom([]fib.Action{fib.Forward, fib.Forward, fib.Forward, fib.Forward, fib.Connected, fib.Connected, fib.Drop, fib.Local}).Draw(t, "kind")
			switch p.Kind {
			case fib.Connected:
				p.NextHops = []NextHop{{Interface: rapid.SampledFrom(links).Draw(t, "link")}}
			case fib.Forward:
				for range rapid.IntRange(1, 3).Draw(t, "hops") {
					h := NextHop{Address: rapid.SampledFrom(addresses[v4]).Draw(t, "address"), Weight: rapid.Uint32Range(0, 3).Draw(t, "weight")}
					if rapid.IntRange(0, 4).Draw(t, "attached") == 0 {
						h.Interface = rapid.SampledFrom(links).Draw(t, "link")
					}
					p.NextHops = append(p.NextHops, h)
				}
			}
			return p
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				prefix := rapid.SampledFrom(prefixes).Draw(t, "prefix")
				source := rapid.SampledFrom([]string{"static", "bgp", "connected"}).Draw(t, "source")
				var paths []Path
				for i := range rapid.IntRange(1, 2).Draw(t, "paths") {
					p := path(t, prefix.Addr().Is4())
					if i > 0 && p.Distance == paths[0].Distance && p.Metric == paths[0].Metric {
						continue
					}
					paths = append(paths, p)
				}
				clones := make([]Path, len(paths))
				for i, p := range paths {
					clones[i] = p
					clones[i].NextHops = slices.Clone(p.NextHops)
				}
				model.paths[naiveKey{prefix, source}] = clones
				if err := table.Set(prefix, table.Source(source), 0, paths...); err != nil {
					t.Fatal(err)
				}
			},
			"remove": func(t *rapid.T) {
				prefix := rapid.SampledFrom(prefixes).Draw(t, "prefix")
				source := rapid.SampledFrom([]string{"static", "bgp", "connected"}).Draw(t, "source")
				delete(model.paths, naiveKey{prefix, source})
				table.Remove(prefix, table.Source(source))
			},
			"link": func(t *rapid.T) {
				link, up := rapid.SampledFrom(links).Draw(t, "link"), rapid.Bool().Draw(t, "up")
				model.interfaces[link] = up
				table.SetInterface(link, up)
			},
			"gone": func(t *rapid.T) {
				link := rapid.SampledFrom(links).Draw(t, "link")
				delete(model.interfaces, link)
				table.RemoveInterface(link)
			},
			"settle": func(t *rapid.T) {
				table.Settle()
				if rapid.Bool().Draw(t, "program") {
					program(t, table, engine)
				}
			},
		})
		table.Settle()
		program(t, table, engine)
		compare(t, table, engine, model, prefixes)
	})
}

func compare(t *rapid.T, table *Table, engine *fibtest.Engine, model *naive, prefixes []netip.Prefix) {
	for _, prefix := range prefixes {
		path, want, ok := model.best(prefix)
		ref, _ := table.Find(prefix)
		status, has := table.Best(ref)
		got, installed := engine.Content(prefix)
		if ok != has || ok != installed {
			t.Fatalf("%s: reachable %v, in the table %v, in the FIB %v", prefix, ok, has, installed)
		}
		if !ok {
			continue
		}
		if status.Source != path.source || status.Distance != path.Distance || status.Metric != path.Metric || !status.Installed {
			t.Fatalf("%s: best is %+v, want %+v", prefix, status, path)
		}
		if !got.Equal(status.Resolved) || !same(got, want) {
			t.Fatalf("%s: the FIB has %+v, the table %+v, want %+v", prefix, got, status.Resolved, want)
		}
	}
	if prefixes, paths, sets := table.Size(); prefixes > paths || sets > paths || len(engine.Routes) > prefixes {
		t.Fatalf("left over: %d prefixes, %d paths, %d sets, %d in the FIB", prefixes, paths, sets, len(engine.Routes))
	}
}

func same(got fib.Content, want naiveAnswer) bool {
	switch {
	case want.drop:
		return got.Action == fib.Drop
	case want.local:
		return got.Action == fib.Local
	case want.link != "":
		return got.Action == fib.Connected && got.Hops[0].Interface == want.link
	}
	sum := 0.0
	for _, h := range got.Hops {
		sum += float64(h.Weight)
	}
	for _, h := range got.Hops {
		share, ok := want.shares[[2]string{h.Interface, h.Address.String()}]
		if !ok {
			return false
		}
		if exact, _ := share.Float64(); math.Abs(float64(h.Weight)/sum-exact) > 0.01 {
			return false
		}
	}
	return got.Action == fib.Forward && len(got.Hops) == len(want.shares)
}
