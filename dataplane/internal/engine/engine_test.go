// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// wires stands in for the kernel's links.
type wires struct {
	attached map[uint32]bool
	refuse   error
	filled   int
}

func (w *wires) Attach(i uint32) (string, error) {
	if w.refuse != nil {
		return "", w.refuse
	}
	w.attached[i] = true
	return "native", nil
}
func (w *wires) Detach(i uint32) error { delete(w.attached, i); return nil }
func (w *wires) Filled() error         { w.filled++; return nil }

// rig is an engine on memory of its own, with links "p0" and "p1".
type rig struct {
	*Engine
	memory *tables.Memory
	wires  *wires
	limits Limits
}

type fatal interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newRig(t fatal, l Limits) *rig {
	t.Helper()
	m, err := tables.NewMemory(2)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{memory: m, wires: &wires{attached: map[uint32]bool{}}, limits: l}
	r.open(t)
	return r
}

// open makes an engine on the memory as it is, as a new process would.
func (r *rig) open(t fatal) {
	t.Helper()
	e, err := New(r.memory, Options{
		Limits: r.limits, Attacher: r.wires, Grace: func() error { return nil }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Engine = e
}

func mac(b ...byte) net.HardwareAddr { return append(net.HardwareAddr{2, 0, 0, 0}, b...) }

func testLinks() []Link {
	return []Link{
		{Index: 10, Name: "p0", Address: mac(0, 1), MTU: 1500, Up: true},
		{Index: 11, Name: "p1", Address: mac(0, 2), MTU: 9000, Up: true},
	}
}

func neighbor(link uint32, a string, last byte) Neighbor {
	return Neighbor{Link: link, Address: netip.MustParseAddr(a), MAC: mac(1, last), State: "reachable", Usable: true}
}

func (r *rig) follow(t fatal, n ...Neighbor) {
	t.Helper()
	if err := r.SetPorts(1, []Port{{Name: "p0", Enabled: true}, {Name: "p1", Enabled: true}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Follow(testLinks(), n); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) session(t fatal, generation uint64) *Session {
	t.Helper()
	s, _, err := r.Open(1, generation)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func hops(pairs ...string) (l []Hop) {
	for i := 0; i < len(pairs); i += 2 {
		l = append(l, Hop{Interface: pairs[i], Address: netip.MustParseAddr(pairs[i+1])})
	}
	return l
}

func (b *Batch) set(p string, group uint32) *Batch {
	prefix := netip.MustParsePrefix(p)
	c := &b.V4
	if prefix.Addr().Is6() {
		c = &b.V6
	}
	c.Prefixes = append(append(c.Prefixes, prefix.Addr().AsSlice()...), byte(prefix.Bits()))
	c.Groups = append(c.Groups, group)
	return b
}

func (b *Batch) unset(p string) *Batch {
	prefix := netip.MustParsePrefix(p)
	c := &b.V4
	if prefix.Addr().Is6() {
		c = &b.V6
	}
	c.Withdrawn = append(append(c.Withdrawn, prefix.Addr().AsSlice()...), byte(prefix.Bits()))
	return b
}

// table reads everything back from the memory.
func (r *rig) table(t fatal) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := r.Routes(true, true, func(routes []Route) error {
		for _, x := range routes {
			text := fmt.Sprintf("%d:%d", x.Group, x.Action)
			for _, h := range x.Hops {
				text += fmt.Sprintf(" %s,%s,%v", h.Interface, h.Address, h.Resolved)
			}
			m[x.Prefix.String()] = text
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (r *rig) want(t fatal, want map[string]string) {
	t.Helper()
	if have := r.table(t); !maps.Equal(have, want) {
		t.Fatalf("table is %v, want %v", have, want)
	}
}

func apply(t fatal, s *Session, b *Batch) {
	t.Helper()
	if err := s.Apply(*b); err != nil {
		t.Fatal(err)
	}
}

func TestRefusedBatchChangesNothing(t *testing.T) {
	r := newRig(t, Limits{RoutesV4: 2, RoutesV6: 1, Groups: 3, Hosts: 10})
	r.follow(t)
	s := r.session(t, 1)
	drop := Group{ID: 1, Action: Drop}
	apply(t, s, (&Batch{Groups: []Group{drop}}).set("10.0.0.0/8", 1).set("2001:db8::/32", 1))
	want := map[string]string{"10.0.0.0/8": "1:2", "2001:db8::/32": "1:2"}
	usage := r.Counters().Usage
	_, generation := r.memory.Generation()
	for _, c := range []struct {
		desc  string
		batch *Batch
		limit string
		route string
	}{
		{"routes-v4", (&Batch{Groups: []Group{{ID: 2, Action: Local}}}).set("11.0.0.0/8", 2).set("12.0.0.0/8", 1), "routes-v4", "12.0.0.0/8"},
		{"routes-v6", (&Batch{}).unset("10.0.0.0/8").set("2001:db9::/32", 1), "routes-v6", "2001:db9::/32"},
		{"groups", &Batch{Groups: []Group{
			{ID: 5, Action: Forward, Hops: hops("p0", "192.0.2.1")}, {ID: 6, Action: Forward, Hops: hops("p0", "192.0.2.2")},
			{ID: 7, Action: Forward, Hops: hops("p0", "192.0.2.3")}}}, "groups", ""},
		{"replaced, then unknown", (&Batch{Groups: []Group{{ID: 1, Action: Local}}}).set("10.0.0.0/8", 1).set("13.0.0.0/8", 77), "", "13.0.0.0/8"},
	} {
		err := s.Apply(*c.batch)
		var full *fib.LimitError
		if errors.As(err, &full); c.limit != "" && (full == nil || full.Limit != c.limit) {
			t.Errorf("%s: %v", c.desc, err)
		}
		var at *RouteError
		if errors.As(err, &at); c.route != "" && (at == nil || at.Route != c.route) {
			t.Errorf("%s: %v", c.desc, err)
		}
		r.want(t, want)
		if _, g := r.memory.Generation(); g != generation {
			t.Errorf("%s: packets saw another generation", c.desc)
		}
		if now := r.Counters().Usage; fmt.Sprint(now) != fmt.Sprint(usage) {
			t.Errorf("%s: usage is %v, was %v", c.desc, now, usage)
		}
	}
	// What was refused can still be had once there is room.
	apply(t, s, (&Batch{}).unset("10.0.0.0/8").set("12.0.0.0/8", 1))
}

func TestRepeatingChangesNothingAndTheRestIsSwept(t *testing.T) {
	r := newRig(t, DefaultLimits())
	r.follow(t, neighbor(10, "192.0.2.1", 1))
	s := r.session(t, 1)
	via := Group{ID: 1, Action: Forward, Hops: hops("p0", "192.0.2.1")}
	apply(t, s, (&Batch{Groups: []Group{via, {ID: 2, Action: Drop}}}).set("10.0.0.0/8", 1).set("11.0.0.0/8", 2).set("0.0.0.0/0", 1).set("::/0", 2))
	if err := s.EndOfSync(); err != nil {
		t.Fatal(err)
	}
	r.open(t)
	r.follow(t, neighbor(10, "192.0.2.1", 1))
	// The next programmer numbers its groups otherwise.
	s, opened, err := r.Open(2, 9)
	if err != nil || opened.Generation != 1 || opened.Routes != 4 {
		t.Fatalf("opened %+v, %v", opened, err)
	}
	via.ID = 2
	_, before := r.memory.Generation()
	apply(t, s, (&Batch{Groups: []Group{via}}).set("10.0.0.0/8", 2).set("0.0.0.0/0", 2))
	if _, after := r.memory.Generation(); after != before {
		t.Error("repeating made a new generation")
	}
	if n := len(r.table(t)); n != 4 {
		t.Errorf("%d routes before the end of sync", n)
	}
	if err := s.EndOfSync(); err != nil {
		t.Fatal(err)
	}
	have := r.table(t)
	if len(have) != 2 || have["10.0.0.0/8"] == "" || have["0.0.0.0/0"] == "" {
		t.Errorf("after the sweep: %v", have)
	}
	if _, _, err := r.Open(1, 10); !errors.Is(err, ErrFenced) {
		t.Errorf("an old token: %v", err)
	}
	if used := r.Counters().Usage[2].Used; used != 1 {
		t.Errorf("%d groups are left", used)
	}
}

func TestGroupChangeMovesEveryRoute(t *testing.T) {
	r := newRig(t, DefaultLimits())
	r.follow(t, neighbor(10, "192.0.2.1", 1), neighbor(11, "198.51.100.1", 2))
	s := r.session(t, 1)
	b := &Batch{Groups: []Group{{ID: 1, Action: Forward, Hops: hops("p0", "192.0.2.1")}}}
	apply(t, s, b.set("10.0.0.0/8", 1).set("10.1.0.0/16", 1))
	apply(t, s, &Batch{Groups: []Group{{ID: 1, Action: Forward, Hops: hops("p1", "198.51.100.1")}}})
	r.want(t, map[string]string{"10.0.0.0/8": "1:1 p1,198.51.100.1,true", "10.1.0.0/16": "1:1 p1,198.51.100.1,true"})
	if err := r.LinkChanged(Link{Index: 11, Name: "p1", Address: mac(0, 2), MTU: 9000}); err != nil {
		t.Fatal(err)
	}
	r.want(t, map[string]string{"10.0.0.0/8": "1:1 p1,198.51.100.1,false", "10.1.0.0/16": "1:1 p1,198.51.100.1,false"})
}

func TestPorts(t *testing.T) {
	r := newRig(t, DefaultLimits())
	r.wires.refuse = errors.New("driver says no")
	r.follow(t)
	for _, p := range r.Ports() {
		if p.Attached || p.Reason != "driver says no" {
			t.Errorf("port %+v", p)
		}
	}
	r.wires.refuse = nil
	r.RetryPorts()
	if !r.wires.attached[10] || !r.wires.attached[11] {
		t.Fatal("not attached when it became possible")
	}
	if err := r.LinkGone(11); err != nil {
		t.Fatal(err)
	}
	if err := r.LinkChanged(Link{Index: 30, Name: "p1", Address: mac(0, 9), MTU: 1500, Up: true}); err != nil {
		t.Fatal(err)
	}
	if r.wires.attached[11] || !r.wires.attached[30] {
		t.Errorf("attached to %v", r.wires.attached)
	}
	if err := r.SetPorts(5, []Port{{Name: "p1", Enabled: true}}); err != nil {
		t.Fatal(err)
	}
	if r.wires.attached[10] || r.memory.Tables.Ports[10].Ifindex != 0 {
		t.Error("a port that was left out is still attached")
	}
	if err := r.SetPorts(4, nil); !errors.Is(err, ErrFenced) {
		t.Errorf("an old token: %v", err)
	}
	if err := r.SetPorts(6, []Port{{Name: "p1"}, {Name: "p1"}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a port twice: %v", err)
	}
	var many []Port
	for i := range tables.MaxPorts {
		many = append(many, Port{Name: fmt.Sprint("x", i)})
	}
	var full *fib.LimitError
	if err := r.SetPorts(6, many); !errors.As(err, &full) || full.Limit != "ports" {
		t.Errorf("too many ports: %v", err)
	}
}

func TestProbes(t *testing.T) {
	r := newRig(t, DefaultLimits())
	stale := neighbor(10, "192.0.2.9", 9)
	stale.State = "stale"
	r.follow(t, neighbor(10, "192.0.2.1", 1), stale)
	s := r.session(t, 1)
	b := &Batch{Groups: []Group{
		{ID: 1, Action: Forward, Hops: hops("p0", "192.0.2.1", "p1", "198.51.100.1", "gone0", "198.51.100.2")},
		{ID: 2, Action: Connected, Hops: []Hop{{Interface: "p0"}}},
	}}
	apply(t, s, b.set("10.0.0.0/8", 1).set("192.0.2.0/24", 2))
	want := func(desc string, want ...string) {
		t.Helper()
		var have []string
		for _, p := range r.Probes() {
			have = append(have, p.Address.String())
		}
		slices.Sort(have)
		if !slices.Equal(have, want) {
			t.Errorf("%s: probes %v, want %v", desc, have, want)
		}
	}
	want("a next hop that nobody knows", "198.51.100.1")
	n := neighbor(10, "192.0.2.1", 1)
	n.State = "stale"
	if err := r.NeighborChanged(n); err != nil {
		t.Fatal(err)
	}
	want("a stale next hop too", "192.0.2.1", "198.51.100.1")
	counter := r.hops.byKey[hopKey{"p0", stale.Address}].counter
	r.memory.Counters[1].NextHops[counter].Packets = 5
	want("a stale neighbour that packets went to", "192.0.2.1", "192.0.2.9", "198.51.100.1")
	want("and not again while nothing goes there", "192.0.2.1", "198.51.100.1")
}

func TestDamageIsMended(t *testing.T) {
	r := newRig(t, DefaultLimits())
	r.follow(t, neighbor(10, "192.0.2.1", 1), neighbor(11, "198.51.100.1", 2))
	s := r.session(t, 1)
	b := &Batch{Groups: []Group{{ID: 1, Action: Forward, Hops: hops("p0", "192.0.2.1", "p1", "198.51.100.1")}, {ID: 2, Action: Drop}}}
	apply(t, s, b.set("10.0.0.0/8", 1).set("10.1.2.0/25", 2).set("2001:db8::/48", 1).set("0.0.0.0/0", 2))
	want := r.table(t)
	g := r.groups.byID[1]
	for desc, damage := range map[string]func(){
		"adjacency":   func() { r.memory.Tables.Adjacencies[g.members[0].adjacency].Destination[5] ^= 1 },
		"bucket":      func() { r.memory.Words32(g.buckets*64, 128)[77] ^= 1 },
		"group word":  func() { r.memory.GroupPage(r.groups.pages[0].unit)[g.slot] ^= 1 << 41 },
		"group info":  func() { r.memory.ShadowBytes(g.info, 64)[12] ^= 1 },
		"header":      func() { r.memory.Live().DefaultV4 ^= 3 },
		"reference":   func() { r.memory.Live().V4[10] ^= 1 },
		"group page":  func() { r.memory.Live().Groups[0] = 0 },
		"stray route": func() { r.memory.Live().V4[200] = uint32(g.slot) },
	} {
		damage()
		mended := 0
		for range 256 {
			n, err := r.AuditStep()
			if err != nil {
				t.Fatalf("%s: %v", desc, err)
			}
			mended += n
		}
		if mended == 0 {
			t.Errorf("%s: not seen", desc)
		}
		r.want(t, want)
		for range 256 {
			if n, _ := r.AuditStep(); n != 0 {
				t.Errorf("%s: still differs", desc)
			}
		}
	}
	if c := r.Counters(); c.Audits < 16 || c.Repairs < 8 {
		t.Errorf("%d audits, %d repairs", c.Audits, c.Repairs)
	}
}

// TestAgainstModel drives batches, neighbours and restarts, and compares what packets would see with a map.
func TestAgainstModel(t *testing.T) {
	prefixes := []string{
		"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.128/25", "10.1.2.3/32", "192.0.2.0/24",
		"::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:2::/64", "2001:db8::1/128",
	}
	addresses := []string{"192.0.2.1", "192.0.2.2", "10.1.2.3", "2001:db8::1"}
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(t, Limits{RoutesV4: 6, RoutesV6: 4, Groups: 8, Hosts: 8})
		defer r.memory.Close()
		r.follow(t)
		s := r.session(t, 1)
		model := map[string]uint32{}
		known := map[uint32]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"batch": func(t *rapid.T) {
				b := &Batch{}
				after, groups := maps.Clone(model), maps.Clone(known)
				for range rapid.IntRange(0, 2).Draw(t, "groups") {
					g := anyGroup(t)
					b.Groups = append(b.Groups, g)
					groups[g.ID] = true
				}
				for range rapid.IntRange(0, 5).Draw(t, "withdrawals") {
					p := rapid.SampledFrom(prefixes).Draw(t, "withdrawn")
					b.unset(p)
					delete(after, p)
				}
				for range rapid.IntRange(0, 5).Draw(t, "routes") {
					p, g := rapid.SampledFrom(prefixes).Draw(t, "prefix"), uint32(rapid.IntRange(1, 5).Draw(t, "group"))
					b.set(p, g)
					after[p] = g
				}
				if err := s.Apply(*b); err == nil {
					model, known = after, groups
				}
			},
			"neighbor": func(t *rapid.T) {
				n := neighbor(uint32(10+rapid.IntRange(0, 1).Draw(t, "link")), rapid.SampledFrom(addresses).Draw(t, "address"), byte(rapid.IntRange(1, 3).Draw(t, "mac")))
				n.Usable = rapid.Bool().Draw(t, "usable")
				if err := r.NeighborChanged(n); err != nil {
					t.Fatal(err)
				}
			},
			"neighbor gone": func(t *rapid.T) {
				if err := r.NeighborGone(10, netip.MustParseAddr(rapid.SampledFrom(addresses).Draw(t, "address"))); err != nil {
					t.Fatal(err)
				}
			},
			"restart": func(t *rapid.T) {
				before := r.table(t)
				var neighbors []Neighbor
				for _, n := range r.neighbors {
					neighbors = append(neighbors, n)
				}
				for len(r.graves)+r.space.Retired() > 0 {
					r.reclaimNow()
				}
				usage, _, _, _ := r.space.Usage()
				r.open(t)
				if now, _, _, _ := r.space.Usage(); now != usage {
					t.Fatalf("%d lines used after the restart, %d before", now, usage)
				}
				r.want(t, before)
				r.follow(t, neighbors...)
				r.want(t, before)
				// A programmer says everything again.
				s = r.session(t, 2)
				b := &Batch{}
				known = map[uint32]bool{}
				for p := range model {
					b.unset(p)
				}
				model = map[string]uint32{}
				apply(t, s, b)
			},
			"": func(t *rapid.T) { r.compare(t, model) },
		})
	})
}

func anyGroup(t *rapid.T) Group {
	g := Group{ID: uint32(rapid.IntRange(1, 4).Draw(t, "id"))}
	switch rapid.IntRange(0, 4).Draw(t, "action") {
	case 0:
		g.Action = Drop
	case 1:
		g.Action = Connected
		g.Hops = []Hop{{Interface: rapid.SampledFrom([]string{"p0", "p1"}).Draw(t, "link")}}
	case 2:
		g.Action, g.Hops = Forward, hops("p0", "192.0.2.1")
	case 3:
		g.Action, g.Hops = Forward, hops("p1", "192.0.2.2", "p0", "192.0.2.1")
	default:
		g.Action, g.Hops = Forward, hops("p0", "2001:db8::1")
	}
	return g
}

// compare reads routes, hops and neighbours' own routes back.
func (r *rig) compare(t *rapid.T, model map[string]uint32) {
	seen := 0
	err := r.Routes(true, true, func(routes []Route) error {
		for _, x := range routes {
			seen++
			if g, ok := model[x.Prefix.String()]; !ok || g != x.Group {
				t.Fatalf("route %v has group %d, want %d", x.Prefix, x.Group, g)
			}
			for _, h := range x.Hops {
				p, m := r.usable(hopKey{h.Interface, h.Address})
				if h.Resolved != (x.Action == Forward && p != nil) || h.Resolved && m.String() != h.MAC.String() {
					t.Fatalf("route %v has hop %+v, neighbour is %v", x.Prefix, h, m)
				}
			}
		}
		return nil
	})
	if err != nil || seen != len(model) {
		t.Fatalf("%d routes, want %d: %v", seen, len(model), err)
	}
	for _, n := range r.neighbors {
		x, found, err := r.Lookup(n.Address)
		if err != nil {
			t.Fatal(err)
		}
		link := (&transaction{e: r.Engine}).hostLink(n.Address)
		if link != "" && (!found || x.Group != 0 || x.Hops[0].Interface != link || !x.Hops[0].Resolved) {
			t.Fatalf("neighbour %v on %s is reached by %+v", n.Address, link, x)
		}
		if link == "" && found && x.Group == 0 {
			t.Fatalf("%v still has a route of its own", n.Address)
		}
	}
	for _, octet := range []int{0, 10, 32, 192} {
		r.auditCursor = octet
		if mended, err := r.AuditStep(); mended != 0 || err != nil {
			t.Fatalf("audit mends %d, %v", mended, err)
		}
	}
}
