// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"

	"github.com/ashlar-nos/ashlar/lab/ping"
	"github.com/ashlar-nos/ashlar/lab/stream"
	"github.com/ashlar-nos/ashlar/lab/topology"
)

// up is a device that forwards for the lab's network.
func up(t *testing.T) (*device, *programmer) {
	d := newDevice(t)
	d.start()
	d.ready()
	for _, p := range d.setPorts(topology.Ports()...).GetPorts() {
		if !p.GetAttached() || p.GetMode() != "native" {
			t.Fatalf("port %v", p)
		}
	}
	p := d.program(1)
	if f := p.send(intent()); len(f) > 0 {
		t.Fatal(f)
	}
	p.endOfSync()
	return d, p
}

func (d *device) ping(addresses ...netip.Addr) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	for _, a := range addresses {
		if _, err := ping.Until(ctx, d.top.HostA, a); err != nil {
			d.t.Fatal(err)
		}
	}
}

// behindB are addresses behind host B, in every way that leads there.
func behindB() []netip.Addr {
	return []netip.Addr{
		topology.LinkB1.Host4.Addr(), topology.LinkB1.Host6.Addr(), topology.LinkB2.Host4.Addr(), topology.LinkB2.Host6.Addr(),
		topology.Balanced4.Addr().Next(), topology.Balanced6.Addr().Next(), topology.Single4.Addr().Next(), topology.Single6.Addr().Next(),
	}
}

// TestHostsReachEachOther pings through the router before and after its neighbours are known, and pings the
// router itself.
func TestHostsReachEachOther(t *testing.T) {
	d, _ := up(t)
	d.ping(behindB()...)
	d.ping(topology.LinkA.Port4.Addr(), topology.LinkA.Port6.Addr(), topology.LinkB2.Port4.Addr(), topology.LinkB2.Port6.Addr())
	d.resolved(behindB()...)
	before := d.counters()
	d.ping(behindB()...)
	if after := d.counters(); after.GetForwardedPackets() < before.GetForwardedPackets()+uint64(len(behindB())) {
		t.Errorf("%d packets were forwarded by the program, then %d", before.GetForwardedPackets(), after.GetForwardedPackets())
	}
	if n := len(d.routes()); n != 16 {
		t.Errorf("the table has %d routes, want 16", n)
	}
	neighbors, err := d.client.ListNeighbors(t.Context(), &dataplanev1.ListNeighborsRequest{})
	must(t, err)
	if len(neighbors.GetNeighbors()) < 6 {
		t.Errorf("%d neighbours are followed: %v", len(neighbors.GetNeighbors()), neighbors)
	}
}

func (d *device) counters() *dataplanev1.GetCountersResponse {
	d.t.Helper()
	c, err := d.client.GetCounters(d.t.Context(), &dataplanev1.GetCountersRequest{})
	must(d.t, err)
	return c
}

// traffic starts a stream of both families from host A to behind host B, and returns what ends it.
func (d *device) traffic() (end func() stream.Totals) {
	t := d.t
	meter, err := stream.NewMeter(d.top.HostB, topology.LinkB1.HostInterface, topology.LinkB2.HostInterface)
	must(t, err)
	mac, err := d.top.HardwareAddress(topology.LinkA.Port)
	must(t, err)
	g, err := stream.NewGenerator(stream.Config{
		Host: d.top.HostA, Interface: topology.LinkA.HostInterface, NextHop: mac,
		V4: stream.Spread(topology.LinkA.Host4.Addr(), topology.Balanced4, 64),
		V6: stream.Spread(topology.LinkA.Host6.Addr(), topology.Balanced6, 64),
	})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, stream.Rate{V4: 50_000, V6: 50_000}) }()
	return func() stream.Totals {
		defer func() { must(t, errors.Join(g.Close(), meter.Close())) }()
		cancel()
		must(t, <-done)
		sent, err := g.Sent()
		must(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		totals, err := meter.Settle(ctx, sent)
		must(t, err)
		return totals
	}
}

// TestKilledUnderTraffic kills the daemon twenty times under a stream: nothing is lost, program and tables are
// adopted, and a programmer that says the same again changes nothing.
func TestKilledUnderTraffic(t *testing.T) {
	d, _ := up(t)
	d.ping(behindB()...)
	d.resolved(behindB()...)
	program := d.attachedProgram(topology.LinkA.Port)
	end := d.traffic()
	for round := range 20 {
		d.kill()
		begin := time.Now()
		d.start()
		d.ready()
		t.Logf("kill %d: ready after %v", round, time.Since(begin))
		c := d.counters()
		if !c.GetAdopted() || d.attachedProgram(topology.LinkA.Port) != program {
			t.Fatal("the program was loaded again")
		}
		if n := len(d.routes()); n != 16 {
			t.Fatalf("%d routes after the restart", n)
		}
		if round%2 == 0 {
			continue // forwarding needs neither ports nor routes told again
		}
		d.setPorts(topology.Ports()...)
		p := d.program(uint64(round))
		if p.opened.GetRoutes() != 16 || p.opened.GetGeneration() == 0 {
			t.Fatalf("opened %v", p.opened)
		}
		if f := p.send(intent()); len(f) > 0 {
			t.Fatal(f)
		}
		p.endOfSync()
	}
	totals := end()
	t.Logf("%+v", totals)
	if err := totals.Clean(); err != nil {
		t.Fatal(err)
	}
	if totals.Sent < 20_000 {
		t.Fatalf("only %d packets were sent", totals.Sent)
	}
}

// TestPathMovesUnderTraffic moves a route from link to link, batch by batch, under a stream.
func TestPathMovesUnderTraffic(t *testing.T) {
	d, p := up(t)
	d.ping(behindB()...)
	d.resolved(behindB()...)
	end := d.traffic()
	for i := range 3000 {
		g := &dataplanev1.NextHopGroup{Id: balanced4, Action: dataplanev1.Action_ACTION_FORWARD}
		switch i % 3 {
		case 0:
			g.NextHops = []*dataplanev1.NextHop{hop(topology.LinkB1, false)}
		case 1:
			g.NextHops = []*dataplanev1.NextHop{hop(topology.LinkB2, false)}
		default:
			g.NextHops = []*dataplanev1.NextHop{hop(topology.LinkB1, false), hop(topology.LinkB2, false)}
		}
		if f := p.send(&dataplanev1.Batch{Groups: []*dataplanev1.NextHopGroup{g}}); len(f) > 0 {
			t.Fatal(f)
		}
	}
	totals := end()
	t.Logf("%+v", totals)
	if lost := totals.Sent - totals.Received; lost != 0 {
		t.Fatalf("%d packets lost", lost)
	}
}

// TestDeadLinkIsAvoided takes one of two links down behind the device's back: the daemon sees it, the flows
// go by the other, and both are used again when it is back.
func TestDeadLinkIsAvoided(t *testing.T) {
	d, _ := up(t)
	d.ping(behindB()...)
	d.resolved(behindB()...)
	must(t, d.top.HostB.Sysctl("ipv6/conf/"+topology.LinkB2.HostInterface+"/keep_addr_on_down", "1"))
	d.setHostLink(topology.LinkB2, false)
	for _, a := range []netip.Addr{topology.Balanced4.Addr().Next(), topology.Balanced6.Addr().Next()} {
		d.await(func() bool { return d.resolvedHops(a) == 1 })
	}
	totals := d.stream(20_000)
	if err := totals.Clean(); err != nil || totals.ByLink[1] != 0 {
		t.Fatalf("with a dead link: %+v, %v", totals, err)
	}
	d.setHostLink(topology.LinkB2, true)
	d.resolved(behindB()...)
	totals = d.stream(20_000)
	if err := totals.Clean(); err != nil || totals.ByLink[0] < totals.Sent/4 || totals.ByLink[1] < totals.Sent/4 {
		t.Fatalf("with both links: %+v, %v", totals, err)
	}
}

// stream sends until at least n packets have left by the program.
func (d *device) stream(n uint64) stream.Totals {
	before := d.counters().GetForwardedPackets()
	end := d.traffic()
	d.await(func() bool { return d.counters().GetForwardedPackets() >= before+n })
	return end()
}

// TestNewerProgramTakesOver starts a daemon whose program is not the pinned one, on the same layout: it moves
// the links to its own program at once, under a stream, and keeps the tables.
func TestNewerProgramTakesOver(t *testing.T) {
	d, _ := up(t)
	d.ping(behindB()...)
	d.resolved(behindB()...)
	end := d.traffic()
	for range 5 {
		old := d.attachedProgram(topology.LinkA.Port)
		d.kill()
		d.tables(func(control []byte) { control[40] ^= 0xff })
		d.start()
		d.ready()
		if c := d.counters(); c.GetAdopted() || d.attachedProgram(topology.LinkA.Port) == old {
			t.Fatal("the program was not replaced")
		}
		if n := len(d.routes()); n != 16 {
			t.Fatalf("%d routes after the replacement", n)
		}
	}
	totals := end()
	t.Logf("%+v", totals)
	if err := totals.Clean(); err != nil {
		t.Fatal(err)
	}
}

// TestOtherLayout finds pins of another layout: they forward, under a stream, until the new tables are
// filled, and are removed then.
func TestOtherLayout(t *testing.T) {
	d, _ := up(t)
	d.ping(behindB()...)
	d.resolved(behindB()...)
	end := d.traffic()
	old := d.attachedProgram(topology.LinkA.Port)
	d.kill()
	was := d.pins()
	must(t, os.Rename(was, filepath.Join(filepath.Dir(was), "0123456789abcdef")))
	d.start()
	d.ready()
	d.setPorts(topology.Ports()...)
	p := d.program(3)
	if p.opened.GetRoutes() != 0 {
		t.Fatalf("opened %v", p.opened)
	}
	if f := p.send(intent()); len(f) > 0 {
		t.Fatal(f)
	}
	d.resolved(behindB()...)
	if d.attachedProgram(topology.LinkA.Port) != old {
		t.Fatal("the program moved before its tables were filled")
	}
	p.endOfSync()
	if d.attachedProgram(topology.LinkA.Port) == old {
		t.Fatal("the program did not move")
	}
	if have := d.pins(); have != was {
		t.Fatalf("pins are %s, want %s alone", have, was)
	}
	totals := end()
	t.Logf("%+v", totals)
	if err := totals.Clean(); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedTablesAreReplaced: pins whose contents make no sense are not guessed about. New tables are
// made beside, and the old program forwards until they are filled.
func TestDamagedTablesAreReplaced(t *testing.T) {
	d, _ := up(t)
	d.ping(behindB()...)
	d.resolved(behindB()...)
	old := d.attachedProgram(topology.LinkA.Port)
	d.kill()
	d.damage()
	d.start()
	d.ready()
	if d.attachedProgram(topology.LinkA.Port) != old {
		t.Fatal("the program moved before its tables were filled")
	}
	d.setPorts(topology.Ports()...)
	p := d.program(7)
	if f := p.send(intent()); len(f) > 0 {
		t.Fatal(f)
	}
	p.endOfSync()
	if d.attachedProgram(topology.LinkA.Port) == old {
		t.Fatal("the program did not move to the new tables")
	}
	d.ping(behindB()...)
}

// TestKernelCanAnswer: the kernel has routes and forwards for what it is handed, by the ports alone.
func TestKernelCanAnswer(t *testing.T) {
	d, p := up(t)
	want := []netip.Prefix{topology.Balanced4, topology.Balanced6, topology.Single4, topology.Single6}
	d.kernelRoutes(want...)
	for key, value := range map[string]string{
		"ipv4/conf/ge0/forwarding": "1", "ipv6/conf/ge0/forwarding": "1", "ipv4/conf/mgmt0/forwarding": "0", "ipv6/conf/mgmt0/forwarding": "0",
	} {
		if have := d.sysctl(key); have != value {
			t.Errorf("%s is %s, want %s", key, have, value)
		}
	}
	// The answer to a packet whose time is up comes from the kernel.
	if from := d.expired(topology.Balanced4.Addr().Next()); from != topology.LinkA.Port4.Addr() {
		t.Errorf("time exceeded came from %v", from)
	}
	p.send(&dataplanev1.Batch{V4: &dataplanev1.RouteColumns{Withdrawn: []byte{10, 98, 0, 0, 16}}})
	d.kernelRoutes(topology.Balanced4, topology.Balanced6, topology.Single6)
	// A restart takes over what is there.
	d.kill()
	d.start()
	d.ready()
	d.kernelRoutes(topology.Balanced4, topology.Balanced6, topology.Single6)
}

// TestPortComesLater: a port whose link does not exist is attached when it appears.
func TestPortComesLater(t *testing.T) {
	d := newDevice(t)
	d.start()
	d.ready()
	r := d.setPorts(append(topology.Ports(), "late0")...)
	for _, p := range r.GetPorts() {
		if p.GetName() == "late0" && (p.GetAttached() || p.GetReason() != "link does not exist") {
			t.Fatalf("port %v", p)
		}
	}
	d.addVeth("late0")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for d.attachedProgram("late0") == 0 {
		if ctx.Err() != nil {
			t.Fatal("not attached")
		}
		time.Sleep(5 * time.Millisecond)
	}
	d.setPorts("ge0")
	for _, name := range []string{"late0", "ge1"} {
		if d.attachedProgram(name) != 0 {
			t.Errorf("%s still runs the program", name)
		}
	}
	if d.attachedProgram("mgmt0") != 0 {
		t.Error("the management port was touched")
	}
}

// TestRefusals: what cannot be is refused by name and changes nothing.
func TestRefusals(t *testing.T) {
	d, p := up(t)
	for _, c := range []struct {
		desc  string
		batch *dataplanev1.Batch
		code  codes.Code
		route string
	}{
		{"unknown group", &dataplanev1.Batch{V4: &dataplanev1.RouteColumns{Prefixes: []byte{10, 0, 0, 0, 8}, Groups: []uint32{99}}}, codes.InvalidArgument, "10.0.0.0/8"},
		{"host bits", &dataplanev1.Batch{V4: &dataplanev1.RouteColumns{Prefixes: []byte{10, 0, 0, 1, 8}, Groups: []uint32{local}}}, codes.InvalidArgument, "10.0.0.1/8"},
		{"ragged column", &dataplanev1.Batch{V4: &dataplanev1.RouteColumns{Prefixes: []byte{10, 0, 0}, Groups: []uint32{local}}}, codes.InvalidArgument, ""},
		{"no next hop", &dataplanev1.Batch{Groups: []*dataplanev1.NextHopGroup{{Id: 50, Action: dataplanev1.Action_ACTION_FORWARD}}}, codes.InvalidArgument, ""},
		{"length", &dataplanev1.Batch{V6: &dataplanev1.RouteColumns{Withdrawn: make([]byte, 16), Groups: nil}}, codes.InvalidArgument, ""},
		{"second of two", &dataplanev1.Batch{V4: &dataplanev1.RouteColumns{Prefixes: []byte{10, 0, 0, 0, 8, 11, 0, 0, 0, 8}, Groups: []uint32{local, 98}}}, codes.InvalidArgument, "11.0.0.0/8"},
	} {
		f := p.send(c.batch)
		if len(f) != 1 || codes.Code(f[0].GetCode()) != c.code || f[0].GetRoute() != c.route {
			t.Errorf("%s: %v", c.desc, f)
		}
	}
	if n := len(d.routes()); n != 16 {
		t.Errorf("%d routes after refusals, want 16", n)
	}
	_, err := d.client.SetPorts(t.Context(), &dataplanev1.SetPortsRequest{FencingToken: 0})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("an old token: %v", err)
	}
	// A newer stream ends the older one.
	d.program(2)
	if _, err := p.stream.Recv(); status.Code(err) != codes.Aborted {
		t.Errorf("the older stream ended with %v", err)
	}
	if _, err := d.client.Lookup(t.Context(), &dataplanev1.LookupRequest{Address: []byte{1}}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a short address: %v", err)
	}
}

// TestFullTable fills the table to its limit by the contract. One route more is refused by name and changes
// nothing; a restart takes all of it over.
func TestFullTable(t *testing.T) {
	d, p := up(t)
	const limit, batch = 1 << 20, 1 << 16
	for next := 8; next < limit; {
		b := &dataplanev1.Batch{V4: &dataplanev1.RouteColumns{}}
		for ; len(b.V4.Groups) < batch && next < limit; next++ {
			b.V4.Prefixes = append(b.V4.Prefixes, 20+byte(next>>16), byte(next>>8), byte(next), 0, 24)
			b.V4.Groups = append(b.V4.Groups, single4)
		}
		if f := p.send(b); len(f) > 0 {
			t.Fatal(f)
		}
	}
	f := p.send(&dataplanev1.Batch{V4: &dataplanev1.RouteColumns{
		Withdrawn: []byte{20, 0, 8, 0, 24}, Prefixes: []byte{99, 0, 0, 0, 8, 98, 0, 0, 0, 8}, Groups: []uint32{single4, single4},
	}})
	if len(f) != 1 || codes.Code(f[0].GetCode()) != codes.ResourceExhausted || !strings.Contains(f[0].GetReason(), "routes-v4") || f[0].GetRoute() != "98.0.0.0/8" {
		t.Fatalf("refused with %v", f)
	}
	for a, want := range map[string]bool{"20.0.8.1": true, "35.255.255.1": true, "99.0.0.1": false, "98.0.0.1": false} {
		r, err := d.client.Lookup(t.Context(), &dataplanev1.LookupRequest{Address: netip.MustParseAddr(a).AsSlice()})
		if err != nil || (r.GetRoute() != nil) != want {
			t.Errorf("%s: %v, %v", a, r, err)
		}
	}
	d.ping(behindB()...)
	d.kill()
	begin := time.Now()
	d.start()
	d.ready()
	t.Logf("ready after %v with %d routes; %s", time.Since(begin), limit, d.memoryUse())
	if p := d.program(2); p.opened.GetRoutes() != limit+8 {
		t.Fatalf("opened %v", p.opened)
	}
}

// damage fills the shadow of the pinned tables with nonsense, as a stray writer might.
func (d *device) damage() {
	d.memory("shadows", 4<<20, func(b []byte) {
		for i := range b {
			b[i] = 0x5a
		}
	})
}

// tables changes the control block of the pinned tables.
func (d *device) tables(f func(control []byte)) { d.memory("forwarding", 4096, f) }

// pins is the directory of the pinned tables; there must be one.
func (d *device) pins() (path string) {
	d.t.Helper()
	entries, err := os.ReadDir(d.layout.PinDir())
	must(d.t, err)
	for _, e := range entries {
		if e.Name() == "links" {
			continue
		}
		if path != "" {
			d.t.Fatalf("there are pins in %s and in %s", path, e.Name())
		}
		path = filepath.Join(d.layout.PinDir(), e.Name())
	}
	return path
}
