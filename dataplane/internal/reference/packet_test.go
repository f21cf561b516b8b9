// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
	"github.com/ashlar-nos/ashlar/dataplane/internal/grace"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// Packets of BPF_PROG_TEST_RUN arrive by the loopback device of the namespace.
const arrival = 1

var portAddress = [6]byte{2, 0, 0, 0, 0, 1}

// noLinks stands in for the kernel's links: packets need no attachment here.
type noLinks struct{}

func (noLinks) Attach(uint32) (string, error) { return "native", nil }
func (noLinks) Detach(uint32) error           { return nil }
func (noLinks) Filled() error                 { return nil }

// bench is the program in the kernel beside the model.
type bench struct {
	objects *tables.Objects
	memory  *tables.Memory
	engine  *engine.Engine
	session *engine.Session
	model   Router
}

func newBench(t testing.TB) *bench {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test loads BPF programs: run it as root")
	}
	o, err := tables.Load(&tables.Objects{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	m, err := o.Map()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	w := &grace.Waiter{}
	t.Cleanup(w.Close)
	e, err := engine.New(m, engine.Options{
		Limits: engine.DefaultLimits(), Attacher: noLinks{}, Grace: w.Wait, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{objects: o, memory: m, engine: e, model: Router{Address: portAddress, Enabled: true}}
	if err := e.SetPorts(1, []engine.Port{{Name: "in", Enabled: true}, {Name: "out0", Enabled: true}, {Name: "out1", Enabled: true}, {Name: "out2", Enabled: true}}); err != nil {
		t.Fatal(err)
	}
	if b.session, _, err = e.Open(1, 1); err != nil {
		t.Fatal(err)
	}
	links := []engine.Link{{Index: arrival, Name: "in", Address: portAddress[:], MTU: 1500, Up: true}}
	var neighbors []engine.Neighbor
	for i := range 3 {
		mac := outAddress(i)
		links = append(links, engine.Link{Index: uint32(1000 + i), Name: fmt.Sprintf("out%d", i), Address: mac[:], MTU: 1100, Up: true})
		for h := range 4 {
			mac := neighborMAC(i, h)
			neighbors = append(neighbors, engine.Neighbor{Link: uint32(1000 + i), Address: neighborAddress(i, h), MAC: mac[:], Usable: true, State: "reachable"})
		}
	}
	if err := e.Follow(links, neighbors); err != nil {
		t.Fatal(err)
	}
	return b
}

func outAddress(i int) [6]byte            { return [6]byte{2, 0, 0, 0, 1, byte(i)} }
func neighborMAC(i, h int) [6]byte        { return [6]byte{2, 0, 0, 1, byte(i), byte(h)} }
func neighborAddress(i, h int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, byte(i), byte(h)}) }

// groups are known to both sides; by index.
var groups = []struct {
	engine engine.Group
	model  Group
}{
	{engine.Group{ID: 1, Action: engine.Drop}, Group{Action: Drop}},
	{engine.Group{ID: 2, Action: engine.Local}, Group{Action: Local}},
	{engine.Group{ID: 3, Action: engine.Connected, Hops: []engine.Hop{{Interface: "out0"}}}, Group{Action: Connected}},
	{engine.Group{ID: 4, Action: engine.Forward, Hops: engineHops(0, 0)}, Group{Forward, modelHops(0, 0)}},
	{engine.Group{ID: 5, Action: engine.Forward, Hops: engineHops(1, 0)}, Group{Forward, modelHops(1, 0)}},
	{engine.Group{ID: 6, Action: engine.Forward, Hops: engineHops(0, 1, 1, 1, 2, 2)}, Group{Forward, modelHops(0, 1, 1, 1, 2, 2)}},
	{engine.Group{ID: 7, Action: engine.Forward, Hops: engineHops(0, 9)}, Group{Forward, []Hop{{}}}},
	{engine.Group{ID: 8, Action: engine.Forward, Hops: append(engineHops(0, 9), engineHops(2, 3)...)}, Group{Forward, append([]Hop{{}}, modelHops(2, 3)...)}},
}

// engineHops and modelHops take pairs of link and neighbour.
func engineHops(pairs ...int) (l []engine.Hop) {
	for i := 0; i < len(pairs); i += 2 {
		l = append(l, engine.Hop{Interface: fmt.Sprintf("out%d", pairs[i]), Address: neighborAddress(pairs[i], pairs[i+1]), Weight: uint32(i + 1)})
	}
	return l
}

func modelHops(pairs ...int) (l []Hop) {
	for i := 0; i < len(pairs); i += 2 {
		l = append(l, Hop{true, uint32(1000 + pairs[i]), outAddress(pairs[i]), neighborMAC(pairs[i], pairs[i+1]), 1100})
	}
	return l
}

// program gives both sides the same routes: all random, of which some lead to addresses that packets go to.
func (b *bench) program(t testing.TB, rng *rand.Rand) {
	t.Helper()
	batch := engine.Batch{}
	for _, g := range groups {
		batch.Groups = append(batch.Groups, g.engine)
	}
	seen := map[netip.Prefix]bool{}
	for _, r := range b.model.Routes {
		column(&batch, r.Prefix, 0, true)
	}
	b.model.Routes = nil
	for range 60 {
		p := netip.PrefixFrom(anyAddress(rng, rng.IntN(2) == 0), 0)
		p = netip.PrefixFrom(p.Addr(), rng.IntN(p.Addr().BitLen()+1)).Masked()
		if seen[p] {
			continue
		}
		seen[p] = true
		g := rng.IntN(len(groups))
		column(&batch, p, groups[g].engine.ID, false)
		b.model.Routes = append(b.model.Routes, Route{p, groups[g].model})
	}
	if err := b.session.Apply(batch); err != nil {
		t.Fatal(err)
	}
}

func column(batch *engine.Batch, p netip.Prefix, group uint32, withdraw bool) {
	c := &batch.V4
	if p.Addr().Is6() {
		c = &batch.V6
	}
	entry := append(p.Addr().AsSlice(), byte(p.Bits()))
	if withdraw {
		c.Withdrawn = append(c.Withdrawn, entry...)
		return
	}
	c.Prefixes, c.Groups = append(c.Prefixes, entry...), append(c.Groups, group)
}

// anyAddress is drawn from few octets, so that routes and packets meet.
func anyAddress(rng *rand.Rand, v6 bool) netip.Addr {
	octets := []byte{0, 1, 10, 10, 10, 32, 63, 127, 128, 200, 224, 240, 254, 255}
	var a [16]byte
	for i := range a {
		a[i] = octets[rng.IntN(len(octets))]
	}
	if !v6 {
		if rng.IntN(24) == 0 {
			a[0], a[1] = 169, 254
		}
		return netip.AddrFrom4([4]byte(a[:4]))
	}
	switch rng.IntN(12) {
	case 0:
		a = [16]byte{15: byte(rng.IntN(3))}
	case 1:
		a[0], a[1] = 0xfe, 0x80
	case 2:
		a[0] = 0xff
	default:
		a[0], a[1] = 0x20, 0x01
	}
	return netip.AddrFrom16(a)
}

// anyFrame is a packet that is mostly right, with one thing wrong now and then.
func anyFrame(rng *rand.Rand) []byte {
	f := make([]byte, 14, 1600)
	copy(f, portAddress[:])
	rng64(rng, f[6:12])
	if rng.IntN(16) == 0 {
		rng64(rng, f[:6])
	}
	if rng.IntN(2) == 0 {
		f = append(f, v4Packet(rng)...)
		binary.BigEndian.PutUint16(f[12:], 0x0800)
	} else {
		f = append(f, v6Packet(rng)...)
		binary.BigEndian.PutUint16(f[12:], 0x86dd)
	}
	switch rng.IntN(24) {
	case 0:
		binary.BigEndian.PutUint16(f[12:], []uint16{0x0806, 0x8100, 0x88a8, 0x88cc, 0x0800, 0x86dd}[rng.IntN(6)])
	case 1:
		f = f[:14+rng.IntN(len(f)-14)]
	case 2:
		f[14+rng.IntN(len(f)-14)] ^= 1 << rng.IntN(8)
	case 3:
		f = append(f, make([]byte, rng.IntN(40))...) // padding
	}
	return f
}

func rng64(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}

func payload(rng *rand.Rand) []byte {
	n := rng.IntN(64)
	if rng.IntN(6) == 0 {
		n = 900 + rng.IntN(400)
	}
	b := make([]byte, n)
	rng64(rng, b)
	return b
}

func v4Packet(rng *rand.Rand) []byte {
	options := 0
	if rng.IntN(20) == 0 {
		options = 4 * rng.IntN(11)
	}
	p := append(make([]byte, 20+options), payload(rng)...)
	p[0] = 0x45 + byte(options/4)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	if rng.IntN(8) == 0 {
		binary.BigEndian.PutUint16(p[6:], uint16(rng.Uint32()))
	}
	p[8] = anyTTL(rng)
	p[9] = []byte{1, 6, 17, 132, 47}[rng.IntN(5)]
	copy(p[12:], anyAddress(rng, false).AsSlice())
	copy(p[16:], anyAddress(rng, false).AsSlice())
	if rng.IntN(10) != 0 {
		p[12] = 10
	}
	if rng.IntN(64) == 0 {
		copy(p[16:20], []byte{255, 255, 255, 255})
	}
	binary.BigEndian.PutUint16(p[10:], checksum(p[:20+options]))
	return p
}

func anyTTL(rng *rand.Rand) byte {
	if rng.IntN(8) == 0 {
		return byte(rng.IntN(3))
	}
	return byte(rng.Uint32())
}

func v6Packet(rng *rand.Rand) []byte {
	p := append(make([]byte, 40), payload(rng)...)
	rng64(rng, p[1:4])
	p[0] = 0x60 | p[1]>>4
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	p[6] = []byte{0, 6, 17, 44, 58, 43, 60}[rng.IntN(7)]
	p[7] = anyTTL(rng)
	copy(p[8:], anyAddress(rng, true).AsSlice())
	copy(p[24:], anyAddress(rng, true).AsSlice())
	return p
}

// run sends a frame through the program.
func (b *bench) run(t testing.TB, frame []byte) (verdict uint32, out []byte) {
	t.Helper()
	o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	v, err := b.objects.Program.Run(&o)
	if err != nil {
		t.Fatal(err)
	}
	return v, o.DataOut
}

func (b *bench) reasons() [tables.ReasonCount]uint64 { return b.engine.Counters().Reasons }

// compare sends a frame through both and fails where they differ.
func (b *bench) compare(t testing.TB, frame []byte) Outcome {
	t.Helper()
	want := b.model.Process(frame)
	before := b.reasons()
	verdict, out := b.run(t, frame)
	after := b.reasons()
	reason := ""
	for r := range after {
		for range after[r] - before[r] {
			reason += tables.Reason(r).String()
		}
	}
	xdp := map[Verdict]uint32{ToKernel: 2, Discarded: 1, Sent: 4}[want.Verdict]
	if verdict != xdp || reason != want.Reason {
		t.Fatalf("verdict %d for %q, want %d for %q\nframe %x", verdict, reason, xdp, want.Reason, frame)
	}
	if want.Verdict != Sent {
		if !bytes.Equal(out, frame) {
			t.Fatalf("a packet that is not sent was changed\nframe %x\nout   %x", frame, out)
		}
		return want
	}
	for _, f := range want.Frames {
		if bytes.Equal(f, out) {
			return want
		}
	}
	t.Fatalf("frame %x\nleft as %x\nwant one of %x", frame, out, want.Frames)
	return want
}

// TestRandomPacketsAgainstTheModel compares verdict, reason and bytes of random packets under random tables.
func TestRandomPacketsAgainstTheModel(t *testing.T) {
	b := newBench(t)
	rng := rand.New(rand.NewPCG(3, 4))
	seen := map[string]int{}
	for range 60 {
		b.program(t, rng)
		for range 400 {
			seen[b.compare(t, anyFrame(rng)).Reason]++
		}
	}
	for r := tables.Reason(0); r < tables.ReasonCount; r++ {
		if n := seen[r.String()]; n == 0 && r.String() != "port-disabled" && r != tables.ReasonCanary && r != tables.ReasonRedirect {
			t.Errorf("no packet met reason %v", r)
		}
	}
	t.Logf("%v", seen)
}

// TestFlowsSpreadByWeightAndStay sends many flows to one group.
func TestFlowsSpreadByWeightAndStay(t *testing.T) {
	b := newBench(t)
	p := netip.MustParsePrefix("10.0.0.0/8")
	batch := engine.Batch{Groups: []engine.Group{groups[5].engine}}
	column(&batch, p, 6, false)
	if err := b.session.Apply(batch); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	const flows = 2000
	frames := make([][]byte, flows)
	for i := range frames {
		f := append(append(append([]byte{}, portAddress[:]...), 2, 2, 2, 2, 2, 2, 8, 0), v4Packet(rng)[:20]...)
		q := f[14:]
		q[0], q[6], q[7], q[8], q[9] = 0x45, 0, 0, 64, 17
		copy(q[12:], []byte{10, 1, byte(i >> 8), byte(i), 10, 9, 9, 9})
		q = append(q, byte(i>>8), byte(i), 0, 53, 0, 8, 0, 0)
		binary.BigEndian.PutUint16(q[2:], 28)
		q[10], q[11] = 0, 0
		binary.BigEndian.PutUint16(q[10:], checksum(q[:20]))
		frames[i] = append(f[:14:14], q...)
	}
	paths := func() (via []byte, share [3]int) {
		for _, f := range frames {
			v, out := b.run(t, f)
			if v != 4 {
				t.Fatalf("verdict %d", v)
			}
			via = append(via, out[4])
			share[out[4]]++
		}
		return via, share
	}
	before, share := paths()
	total := 1 + 3 + 5
	for i, w := range []int{1, 3, 5} {
		want := flows * w / total
		if share[i] < want*8/10 || share[i] > want*12/10 {
			t.Errorf("member %d of weight %d carries %d of %d flows", i, w, share[i], flows)
		}
	}
	mac := neighborMAC(1, 1)
	if err := b.engine.NeighborGone(1001, neighborAddress(1, 1)); err != nil {
		t.Fatal(err)
	}
	after, _ := paths()
	for i := range before {
		if before[i] != 1 && before[i] != after[i] {
			t.Fatalf("flow %d moved from member %d to %d, though its member lives", i, before[i], after[i])
		}
		if after[i] == 1 {
			t.Fatalf("flow %d still uses the dead member", i)
		}
	}
	if err := b.engine.NeighborChanged(engine.Neighbor{Link: 1001, Address: neighborAddress(1, 1), MAC: net.HardwareAddr(mac[:]), Usable: true}); err != nil {
		t.Fatal(err)
	}
	_, share = paths()
	if want := flows * 3 / total; share[1] < want*8/10 {
		t.Errorf("the member that came back carries %d flows, want about %d", share[1], want)
	}
}

// TestDisabledPort leaves everything to the kernel.
func TestDisabledPort(t *testing.T) {
	b := newBench(t)
	b.model.Enabled = false
	if err := b.engine.SetPorts(2, []engine.Port{{Name: "in"}}); err != nil {
		t.Fatal(err)
	}
	b.compare(t, anyFrame(rand.New(rand.NewPCG(7, 8))))
}

// TestConnectedNeighbourIsForwarded: a neighbour of a connected prefix gets packets directly once it is known.
func TestConnectedNeighbourIsForwarded(t *testing.T) {
	b := newBench(t)
	batch := engine.Batch{Groups: []engine.Group{{ID: 3, Action: engine.Connected, Hops: []engine.Hop{{Interface: "out0"}}}}}
	column(&batch, netip.MustParsePrefix("10.77.0.0/24"), 3, false)
	if err := b.session.Apply(batch); err != nil {
		t.Fatal(err)
	}
	b.model.Routes = []Route{
		{netip.MustParsePrefix("10.77.0.0/24"), Group{Action: Connected}},
		{netip.PrefixFrom(neighborAddress(0, 2), 32), Group{Forward, modelHops(0, 2)}},
	}
	send := func(host byte) {
		p := v4Packet(rand.New(rand.NewPCG(9, 9)))[:20]
		p[0], p[6], p[7], p[8] = 0x45, 0, 0, 9
		copy(p[12:], []byte{10, 1, 1, 1, 10, 77, 0, host})
		binary.BigEndian.PutUint16(p[2:], 20)
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], checksum(p))
		b.compare(t, append(append(append([]byte{}, portAddress[:]...), 2, 2, 2, 2, 2, 2, 8, 0), p...))
	}
	send(2)
	send(77)
	// A more specific route inside the connected prefix wins over neighbours.
	batch = engine.Batch{Groups: []engine.Group{{ID: 1, Action: engine.Drop}}}
	column(&batch, netip.MustParsePrefix("10.77.0.0/30"), 1, false)
	if err := b.session.Apply(batch); err != nil {
		t.Fatal(err)
	}
	b.model.Routes = []Route{{netip.MustParsePrefix("10.77.0.0/30"), Group{Action: Drop}}}
	send(2)
}
