// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib/fibtest"
)

// bgp is a producer's side of a stream.
type bgp struct {
	t      *testing.T
	st     ribv1.Rib_ProduceClient
	opened uint64
	last   uint64
}

func (h *house) produce(t *testing.T, name string, generation uint64) *bgp {
	t.Helper()
	st, err := ribv1.NewRibClient(h.Dial()).Produce(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b := &bgp{t: t, st: st}
	b.send(&ribv1.ProduceRequest{Message: &ribv1.ProduceRequest_Open{Open: &ribv1.Open{Producer: name, Generation: generation, Distance: 20}}})
	m, err := st.Recv()
	if err != nil {
		t.Fatal(err)
	}
	b.opened = m.GetOpened().GetGeneration()
	return b
}

func (b *bgp) send(m *ribv1.ProduceRequest) {
	b.t.Helper()
	if err := b.st.Send(m); err != nil && !errors.Is(err, io.EOF) {
		b.t.Fatal(err)
	}
}

func wire(prefix string) *ribv1.Prefix {
	p := netip.MustParsePrefix(prefix)
	return &ribv1.Prefix{Address: p.Addr().AsSlice(), Length: uint32(p.Bits())}
}

func viaAddress(prefix, hop string) *ribv1.Route {
	return &ribv1.Route{Prefix: wire(prefix), NextHops: []*ribv1.NextHop{{Address: netip.MustParseAddr(hop).AsSlice()}}}
}

// batch sends routes and waits for the acknowledgement.
func (b *bgp) batch(routes []*ribv1.Route, withdrawn ...string) *ribv1.Acknowledged {
	b.t.Helper()
	b.last++
	w := &ribv1.Batch{Sequence: b.last, Routes: routes}
	for _, p := range withdrawn {
		w.Withdrawn = append(w.Withdrawn, wire(p))
	}
	b.send(&ribv1.ProduceRequest{Message: &ribv1.ProduceRequest_Batch{Batch: w}})
	return b.await()
}

func (b *bgp) endOfSync() {
	b.t.Helper()
	b.last++
	b.send(&ribv1.ProduceRequest{Message: &ribv1.ProduceRequest_EndOfSync{EndOfSync: &ribv1.EndOfSync{Sequence: b.last}}})
	b.await()
}

// await returns the acknowledgement of everything sent, failures merged.
func (b *bgp) await() *ribv1.Acknowledged {
	b.t.Helper()
	all := &ribv1.Acknowledged{}
	for all.GetSequence() < b.last {
		m, err := b.st.Recv()
		if err != nil {
			b.t.Fatal(err)
		}
		all.Sequence = m.GetAcknowledged().GetSequence()
		all.Failures = append(all.Failures, m.GetAcknowledged().GetFailures()...)
	}
	return all
}

func TestProduce(t *testing.T) {
	h := newHouse(t).start()
	b := h.produce(t, "bgp", 7)
	if b.opened != 0 {
		t.Errorf("opened with generation %d", b.opened)
	}
	ack := b.batch([]*ribv1.Route{
		viaAddress("10.1.0.0/16", "198.51.100.10"),
		viaAddress("10.2.0.0/16", "172.16.9.9"),
		viaAddress("2001:db8:1::/48", "2001:db8:b1::10"),
		viaAddress("10.3.0.1/16", "198.51.100.10"),
		viaAddress("10.4.0.0/16", "2001:db8:b1::10"),
		{Prefix: wire("10.5.0.0/16"), Drop: true},
		{Prefix: wire("10.6.0.0/16")},
		{Prefix: &ribv1.Prefix{Address: []byte{1, 2, 3}}},
		viaAddress("224.0.1.0/24", "198.51.100.10"),
	})
	var told []string
	for _, f := range ack.GetFailures() {
		told = append(told, fmt.Sprintf("%s %s", codes.Code(f.GetCode()), f.GetReason()))
	}
	for _, want := range []string{
		"InvalidArgument 10.3.0.1/16 has host bits set",
		"InvalidArgument 10.4.0.0/16: the next hop 2001:db8:b1::10 is of another address family",
		"InvalidArgument 10.6.0.0/16: want next hops or drop, and not both",
		"InvalidArgument a prefix has an address of 4 or 16 bytes, this one has 3",
		"InvalidArgument 224.0.1.0/24 is not unicast beyond the link",
		"FailedPrecondition no route to 172.16.9.9",
	} {
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("failures %q, want %q", told, want)
		}
	}
	if len(told) != 6 {
		t.Errorf("%d failures: %q", len(told), told)
	}
	for _, p := range []string{"10.1.0.0/16", "2001:db8:1::/48", "10.5.0.0/16"} { // acknowledged is in the tables
		if _, ok := h.dataplane.Content(p); !ok {
			t.Errorf("%s is not in the tables", p)
		}
	}
	h.interfaces.set("ge9", true, "172.16.9.1/24") // the failed route was kept
	h.links(t, "10.2.0.0/16", "ge9")
	b.batch(nil, "10.1.0.0/16")
	if _, ok := h.dataplane.Content("10.1.0.0/16"); ok {
		t.Error("withdrawn and still there")
	}
}

func TestStaticBeatsProduced(t *testing.T) {
	h := newHouse(t).start()
	h.produce(t, "bgp", 1).batch([]*ribv1.Route{viaAddress("10.99.0.0/16", "198.51.100.10")})
	h.links(t, "10.99.0.0/16", "ge1")
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "203.0.113.10")})
	h.links(t, "10.99.0.0/16", "ge2")
	h.set(t, map[string]string{at("10.99.0.0/16"): ""})
	h.links(t, "10.99.0.0/16", "ge1")
}

func TestProducerReconnects(t *testing.T) {
	h := newHouse(t).start()
	first := h.produce(t, "bgp", 1)
	first.batch([]*ribv1.Route{viaAddress("10.1.0.0/16", "198.51.100.10"), viaAddress("10.2.0.0/16", "198.51.100.10")})
	first.endOfSync()

	again := h.produce(t, "bgp", 1) // the same generation: the older stream ends, nothing is stale
	if again.opened != 1 {
		t.Errorf("opened with generation %d", again.opened)
	}
	if _, err := first.st.Recv(); status.Code(err) != codes.Aborted {
		t.Errorf("the older stream ended with %v", err)
	}
	again.endOfSync()
	h.links(t, "10.1.0.0/16", "ge1")

	newer := h.produce(t, "bgp", 2)
	newer.batch([]*ribv1.Route{viaAddress("10.1.0.0/16", "203.0.113.10")})
	h.links(t, "10.2.0.0/16", "ge1") // stale, and forwarding until the end of sync
	newer.endOfSync()
	h.links(t, "10.1.0.0/16", "ge2")
	h.gone(t, "10.2.0.0/16")

	st, err := ribv1.NewRibClient(h.Dial()).Produce(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Send(&ribv1.ProduceRequest{Message: &ribv1.ProduceRequest_Open{Open: &ribv1.Open{Producer: "bgp", Generation: 1, Distance: 20}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("an older generation: %v", err)
	}
}

func TestProducerLeaves(t *testing.T) {
	h := newHouse(t).start()
	b := h.produce(t, "bgp", 1)
	b.batch([]*ribv1.Route{viaAddress("10.1.0.0/16", "198.51.100.10")})
	if err := b.st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.st.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("the stream ended with %v", err)
	}
	h.links(t, "10.1.0.0/16", "ge1")
	h.WaitReady()
}

func TestProduceRefuses(t *testing.T) {
	h := newHouse(t).start()
	open := func(o *ribv1.Open) *ribv1.ProduceRequest {
		return &ribv1.ProduceRequest{Message: &ribv1.ProduceRequest_Open{Open: o}}
	}
	batch := func(sequence uint64) *ribv1.ProduceRequest {
		return &ribv1.ProduceRequest{Message: &ribv1.ProduceRequest_Batch{Batch: &ribv1.Batch{Sequence: sequence}}}
	}
	good := open(&ribv1.Open{Producer: "bgp", Generation: 1, Distance: 20})
	for desc, tt := range map[string]struct {
		messages []*ribv1.ProduceRequest
		code     codes.Code
	}{
		"no open":         {[]*ribv1.ProduceRequest{batch(1)}, codes.InvalidArgument},
		"a reserved name": {[]*ribv1.ProduceRequest{open(&ribv1.Open{Producer: "static", Generation: 1, Distance: 1})}, codes.InvalidArgument},
		"an evil name":    {[]*ribv1.ProduceRequest{open(&ribv1.Open{Producer: "../../etc", Generation: 1, Distance: 1})}, codes.InvalidArgument},
		"no distance":     {[]*ribv1.ProduceRequest{open(&ribv1.Open{Producer: "bgp", Generation: 1})}, codes.InvalidArgument},
		"distance 256":    {[]*ribv1.ProduceRequest{open(&ribv1.Open{Producer: "bgp", Generation: 1, Distance: 256})}, codes.InvalidArgument},
		"a gap":           {[]*ribv1.ProduceRequest{good, batch(1), batch(3)}, codes.InvalidArgument},
		"open again":      {[]*ribv1.ProduceRequest{good, good}, codes.InvalidArgument},
		"nothing":         {[]*ribv1.ProduceRequest{{}}, codes.InvalidArgument},
	} {
		st, err := ribv1.NewRibClient(h.Dial()).Produce(h.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tt.messages {
			if err := st.Send(m); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		for err = nil; err == nil; _, err = st.Recv() {
		}
		if status.Code(err) != tt.code {
			t.Errorf("%s: %v", desc, err)
		}
	}
}

func TestBackPressure(t *testing.T) {
	h := newHouse(t).start()
	release := h.dataplane.Hold()
	defer release()
	b := h.produce(t, "bgp", 1)
	const batches, each = 60, 500
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range batches {
			m := &ribv1.Batch{Sequence: uint64(i + 1)}
			for j := range each {
				var a [4]byte
				binary.BigEndian.PutUint32(a[:], 16<<24+uint32(i*each+j)<<8)
				m.Routes = append(m.Routes, viaAddress(netip.PrefixFrom(netip.AddrFrom4(a), 24).String(), "198.51.100.10"))
			}
			b.send(&ribv1.ProduceRequest{Message: &ribv1.ProduceRequest_Batch{Batch: m}})
		}
	}()
	release()
	<-sent
	b.last = batches
	if ack := b.await(); len(ack.GetFailures()) != 0 {
		t.Fatalf("%d failures: %v", len(ack.GetFailures()), ack.GetFailures()[0])
	}
	h.dataplane.Engine(func(e *fibtest.Engine) {
		if len(e.Routes) < batches*each {
			t.Errorf("%d routes are in the tables", len(e.Routes))
		}
	})
	if _, _, largest := h.dataplane.Streams(); largest > 4096 {
		t.Errorf("a batch of %d routes", largest)
	}
}

// component puts another one on the device.
func (h *house) component(t *testing.T, name string, uid int) {
	t.Helper()
	r, err := roster.Load(h.Layout.Roster())
	if err != nil {
		t.Fatal(err)
	}
	r.Components = append(r.Components, roster.Component{Name: name, UID: uint32(uid)})
	if err := roster.Write(h.Layout.Roster(), r); err != nil {
		t.Fatal(err)
	}
}

// TestSweepWaitsForProducers: after a restart, the routes of a component that produced before are not
// swept until it has repeated them, or is removed from the device.
func TestSweepWaitsForProducers(t *testing.T) {
	h := newHouse(t)
	file := filepath.Join(h.StateDir("rib"), "producers.json")
	if err := os.WriteFile(file, []byte(`{"bgp":"bgp","gone":"gone"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	h.component(t, "bgp", 4711)
	learned := netip.MustParsePrefix("10.1.0.0/16")
	h.dataplane.Engine(func(e *fibtest.Engine) { e.Routes[learned] = fibtest.Route{Group: &fibtest.Group{}} })
	h.start()
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "198.51.100.10")})
	if _, ok := h.dataplane.Content("10.1.0.0/16"); !ok || h.dataplane.Generation() != 0 {
		t.Fatal("swept before the producer had its say")
	}
	h.produce(t, "bgp", 1).endOfSync()
	h.gone(t, "10.1.0.0/16") // it had nothing to repeat, and "gone" was removed from the device
	kittest.Eventually(t, func() error {
		if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), "gone") {
			return fmt.Errorf("%s %v", b, err)
		}
		return nil
	})
}

func TestListAndLookup(t *testing.T) {
	h := newHouse(t).start()
	h.produce(t, "bgp", 1).batch([]*ribv1.Route{viaAddress("10.99.0.0/16", "198.51.100.10"), viaAddress("10.99.7.0/24", "10.77.0.1")})
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "203.0.113.10")})
	client := ribv1.NewRibClient(h.Dial())
	list := func(q *ribv1.ListRequest) (out []string, err error) {
		st, err := client.List(h.ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		for {
			m, err := st.Recv()
			if errors.Is(err, io.EOF) {
				return out, nil
			}
			if err != nil {
				return out, err
			}
			for _, p := range m.GetPaths() {
				a, _ := netip.AddrFromSlice(p.GetRoute().GetPrefix().GetAddress())
				out = append(out, fmt.Sprintf("%s/%d %s best=%v installed=%v %s", a, p.GetRoute().GetPrefix().GetLength(), p.GetProtocol(), p.GetBest(), p.GetInstalled(), p.GetReason()))
			}
		}
	}
	got, err := list(&ribv1.ListRequest{Within: wire("10.0.0.0/8")})
	want := []string{
		"10.99.0.0/16 static best=true installed=true ",
		"10.99.0.0/16 bgp best=false installed=false static is preferred (distance 1, metric 0)",
		"10.99.7.0/24 bgp best=false installed=false no route to 10.77.0.1",
	}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%v\n%s", err, strings.Join(got, "\n"))
	}
	for family, n := range map[uint32]int{4: 3 + 6, 6: 6 + 1, 0: 16} {
		if got, err := list(&ribv1.ListRequest{Family: family}); err != nil || len(got) != n {
			t.Errorf("family %d: %d paths, want %d: %v\n%s", family, len(got), n, err, strings.Join(got, "\n"))
		}
	}
	if _, err := list(&ribv1.ListRequest{Family: 5}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("family 5: %v", err)
	}
	found, err := client.Lookup(h.ctx, &ribv1.LookupRequest{Address: netip.MustParseAddr("10.99.7.1").AsSlice()})
	if err != nil || found.GetPath().GetProtocol() != "static" || found.GetPath().GetResolved()[0].GetInterface() != "ge2" {
		t.Errorf("lookup: %v, %v", found, err)
	}
	if _, err := client.Lookup(h.ctx, &ribv1.LookupRequest{Address: []byte{8, 8, 8, 8}}); status.Code(err) != codes.NotFound {
		t.Errorf("lookup of nothing: %v", err)
	}
	if _, err := client.Lookup(h.ctx, &ribv1.LookupRequest{Address: []byte{8}}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("lookup of garbage: %v", err)
	}
}

// TestOperatorIsNotAwaited: routes that a person fed by hand go when ribd restarts; nobody would repeat them.
func TestOperatorIsNotAwaited(t *testing.T) {
	h := newHouse(t).start()
	h.component(t, "supervisor", 0)
	h.produce(t, "test", 1).batch([]*ribv1.Route{viaAddress("10.1.0.0/16", "198.51.100.10")})
	if b, err := os.ReadFile(filepath.Join(h.StateDir("rib"), "producers.json")); err == nil {
		t.Errorf("remembered: %s", b)
	}
	h.Stop()
	h.start()
	h.gone(t, "10.1.0.0/16")
}
