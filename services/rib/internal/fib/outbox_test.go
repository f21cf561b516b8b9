// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib/fibtest"
	"pgregory.net/rapid"
)

// rig is an outbox before an engine, with the wire between them that holds batches back.
type rig struct {
	outbox *fib.Outbox
	engine *fibtest.Engine
	slots  map[netip.Prefix]*fib.Slot
	groups []*fib.Group
	wire   []*fib.Batch
}

func newRig(batch, window int) *rig {
	r := &rig{engine: fibtest.New(), slots: map[netip.Prefix]*fib.Slot{}}
	r.outbox = fib.New(fib.Config{BatchSize: batch, Window: window, Released: func(s *fib.Slot) {
		delete(r.slots, s.Prefix())
	}})
	r.open(true)
	return r
}

func (r *rig) open(empty bool) {
	r.wire = nil
	r.engine.Open()
	r.outbox.Begin(slices.Values(slices.SortedFunc(maps.Values(r.slots), func(a, b *fib.Slot) int {
		return a.Prefix().Compare(b.Prefix())
	})), empty)
}

func (r *rig) want(i int, g *fib.Group) {
	p := prefix(i)
	s, ok := r.slots[p]
	if !ok {
		if g == nil {
			return
		}
		s = &fib.Slot{}
		s.Init(p)
		r.slots[p] = s
	}
	r.outbox.Want(s, g)
}

func (r *rig) group(n int) *fib.Group {
	g := r.outbox.NewGroup(content(n))
	r.groups = append(r.groups, g)
	return g
}

// send puts what there is on the wire.
func (r *rig) send() {
	for b := r.outbox.Next(); b != nil; b = r.outbox.Next() {
		r.wire = append(r.wire, b)
	}
	if b := r.outbox.EndOfSync(); b != nil {
		r.wire = append(r.wire, b)
	}
}

// receive lets the engine take up to n batches and acknowledges them together.
func (r *rig) receive(t interface{ Fatal(...any) }, n int) {
	n = min(n, len(r.wire))
	if n == 0 {
		return
	}
	var failures []fib.Failure
	for _, b := range r.wire[:n] {
		if f := r.engine.Take(b); f != nil {
			failures = append(failures, *f)
		}
	}
	last := r.wire[n-1].Sequence
	r.wire = r.wire[n:]
	if err := r.outbox.Acknowledge(last, failures); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) settle(t interface{ Fatal(...any) }) {
	for i := 0; ; i++ {
		r.send()
		if len(r.wire) == 0 {
			return
		}
		if i > 100000 {
			t.Fatal("does not settle")
		}
		r.receive(t, 1)
	}
}

func prefix(i int) netip.Prefix {
	if i%4 == 3 {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 8), byte(i)}), 48)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
}

func content(n int) fib.Content {
	return fib.Content{Action: fib.Forward, Hops: []fib.Hop{{Interface: fmt.Sprintf("ge%d", n), Weight: 1}}}
}

// check compares the engine with the wishes.
func (r *rig) check(t interface{ Fatalf(string, ...any) }) {
	for p, s := range r.slots {
		got, ok := r.engine.Content(p)
		if _, refused := r.outbox.Refusal(s); refused {
			if s.Installed() {
				t.Fatalf("%s is refused and installed", p)
			}
			continue
		}
		want := s.Wanted()
		if ok != (want != nil) {
			t.Fatalf("%s: in the table %v, wished %v", p, ok, want != nil)
		}
		if want != nil && (!got.Equal(want.Content()) || !s.Installed()) {
			t.Fatalf("%s: has %v, wished %v, installed %v", p, got, want.Content(), s.Installed())
		}
	}
	for p := range r.engine.Routes {
		if _, ok := r.slots[p]; !ok {
			t.Fatalf("%s is left in the table", p)
		}
	}
	if r.outbox.Settled() != r.outbox.Mark() {
		t.Fatalf("settled %d of %d", r.outbox.Settled(), r.outbox.Mark())
	}
}

func TestOutboxConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(rapid.IntRange(1, 6).Draw(t, "batch"), rapid.IntRange(1, 4).Draw(t, "window"))
		for i := range 4 {
			r.group(i)
		}
		r.engine.MaxRoutes = rapid.SampledFrom([]int{0, 0, 6}).Draw(t, "routes")
		r.engine.MaxGroups = rapid.SampledFrom([]int{0, 0, 3}).Draw(t, "groups")
		r.engine.Poison = rapid.SampledFrom([]string{"", "", "ge7"}).Draw(t, "poison")
		chance := rapid.IntRange(0, 3).Draw(t, "flaws")
		r.engine.Flaw = func() bool { return chance > 0 && rapid.IntRange(0, 9).Draw(t, "flaw") < chance }
		t.Repeat(map[string]func(*rapid.T){
			"want": func(t *rapid.T) {
				r.want(rapid.IntRange(0, 11).Draw(t, "prefix"), rapid.SampledFrom(r.groups).Draw(t, "group"))
				if s := r.slots[prefix(rapid.IntRange(0, 11).Draw(t, "hurry"))]; s != nil {
					r.outbox.Hurry(s)
				}
				if rapid.Bool().Draw(t, "at once") {
					r.send()
				}
			},
			"withdraw": func(t *rapid.T) { r.want(rapid.IntRange(0, 11).Draw(t, "prefix"), nil) },
			"content": func(t *rapid.T) {
				r.outbox.SetContent(rapid.SampledFrom(r.groups).Draw(t, "group"), content(rapid.IntRange(0, 8).Draw(t, "content")))
			},
			"retire": func(t *rapid.T) {
				i := rapid.IntRange(0, len(r.groups)-1).Draw(t, "group")
				if !slices.ContainsFunc(slices.Collect(maps.Values(r.slots)), func(s *fib.Slot) bool { return s.Wanted() == r.groups[i] }) {
					r.outbox.Retire(r.groups[i])
					r.groups[i] = r.outbox.NewGroup(content(rapid.IntRange(0, 8).Draw(t, "content")))
				}
			},
			"send":    func(t *rapid.T) { r.send() },
			"receive": func(t *rapid.T) { r.receive(t, rapid.IntRange(1, 3).Draw(t, "n")) },
			"session": func(t *rapid.T) {
				switch rapid.IntRange(0, 9).Draw(t, "how") {
				case 0: // the stream ends
					r.open(false)
				case 1: // the tables are gone
					clear(r.engine.Routes)
					clear(r.engine.Groups)
					r.open(true)
				case 2: // applied, but the acknowledgement never arrives
					for _, b := range r.wire {
						r.engine.Take(b)
					}
					r.open(false)
				}
			},
		})
		chance = 0
		r.settle(t)
		r.outbox.Retry()
		r.settle(t)
		r.check(t)
		if r.engine.MaxRoutes+r.engine.MaxGroups == 0 && r.engine.Poison == "" && r.outbox.Refused() > 0 {
			t.Fatalf("%d refused without a reason", r.outbox.Refused())
		}
		r.engine.MaxRoutes, r.engine.MaxGroups, r.engine.Poison = 0, 0, ""
		r.outbox.Retry()
		r.settle(t)
		r.check(t)
		if r.outbox.Troubled() {
			t.Fatalf("%d still refused", r.outbox.Refused())
		}
	})
}

func TestGroupChangeIsOneWrite(t *testing.T) {
	r := newRig(4096, 4)
	g := r.group(1)
	for i := range 3000 {
		r.want(i, g)
	}
	r.settle(t)
	before := r.outbox.Stats()
	r.outbox.SetContent(g, content(2))
	r.settle(t)
	after := r.outbox.Stats()
	if after.Groups-before.Groups != 1 || after.Routes != before.Routes {
		t.Fatalf("%d groups and %d routes written", after.Groups-before.Groups, after.Routes-before.Routes)
	}
	r.check(t)
}

func TestFullTableCostsFewTransactions(t *testing.T) {
	r := newRig(512, 4)
	r.engine.MaxRoutes = 1000
	g := r.group(1)
	for i := range 6000 {
		r.want(i, g)
	}
	r.settle(t)
	if got := r.outbox.Refused(); got != 5000 {
		t.Fatalf("%d refused, want 5000", got)
	}
	if got := r.outbox.Stats().Failures; got > 100 {
		t.Fatalf("%d failed transactions for one limit", got)
	}
	s := r.slots[prefix(5990)]
	if why, ok := r.outbox.Refusal(s); !ok || why.Reason != "limit of 1000 routes reached" {
		t.Fatalf("reason %q", why.Reason)
	}
	for i := range 6000 { // everything else goes on: space given back is used
		if r.slots[prefix(i)].Installed() && i%2 == 0 {
			r.want(i, nil)
		}
	}
	r.settle(t)
	if got := len(r.engine.Routes); got != 1000 {
		t.Fatalf("%d routes after space was freed", got)
	}
	r.check(t)
}

func TestSettledFollowsAcknowledgements(t *testing.T) {
	r := newRig(1, 8)
	g := r.group(1)
	r.want(1, g)
	first := r.outbox.Mark()
	r.want(2, g)
	second := r.outbox.Mark()
	r.send()
	if r.outbox.Settled() >= first {
		t.Fatal("settled before it was acknowledged")
	}
	r.receive(t, 1)
	if got := r.outbox.Settled(); got < first || got >= second {
		t.Fatalf("settled %d, want %d", got, first)
	}
	r.open(false) // what was in flight is undecided again, and so is all that is repeated
	r.send()
	r.receive(t, 1)
	if r.outbox.Settled() >= second {
		t.Fatal("settled before the session repeated it")
	}
	r.settle(t)
	if r.outbox.Settled() < second {
		t.Fatal("never settled")
	}
}

func TestRestartSweepsAndKeepsForwarding(t *testing.T) {
	r := newRig(8, 4)
	g := r.group(1)
	for i := range 20 {
		r.want(i, g)
	}
	r.settle(t)

	next := newRig(8, 4) // another process before the same engine
	next.engine = r.engine
	next.outbox = fib.New(fib.Config{BatchSize: 8, Window: 4})
	next.open(false)
	h := next.outbox.NewGroup(content(1))
	for i := range 10 {
		next.want(i, h)
	}
	for next.send(); len(next.wire) > 0; next.send() {
		for i := range 10 {
			if got, ok := r.engine.Content(prefix(i)); !ok || !got.Equal(content(1)) {
				t.Fatalf("%s stopped forwarding", prefix(i))
			}
		}
		next.receive(t, 1)
	}
	next.check(t)
	if len(r.engine.Routes) != 10 {
		t.Fatalf("%d routes after the sweep", len(r.engine.Routes))
	}
}

func TestTouchSendsAgain(t *testing.T) {
	r := newRig(8, 4)
	r.want(1, r.group(1))
	r.settle(t)
	before := r.engine.Applied
	r.outbox.Touch(r.slots[prefix(1)])
	r.settle(t)
	if r.engine.Applied != before+1 {
		t.Fatal("nothing was sent")
	}
	r.check(t)
}

func TestAcknowledgementOfNothing(t *testing.T) {
	if err := newRig(8, 4).outbox.Acknowledge(1, nil); err == nil {
		t.Fatal("accepted")
	}
}
