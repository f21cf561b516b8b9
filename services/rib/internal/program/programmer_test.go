// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package program

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/rib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

// echo is a dataplane that acknowledges and counts, and keeps no tables.
type echo struct {
	dataplanev1.UnimplementedDataplaneServer
	known       uint64 // generation it claims to have seen
	generations chan uint64
	routes      atomic.Int64
	bytes       atomic.Int64
}

func (e *echo) Program(st grpc.BidiStreamingServer[dataplanev1.ProgramRequest, dataplanev1.ProgramResponse]) error {
	m, err := st.Recv()
	if err != nil {
		return err
	}
	select {
	case e.generations <- m.GetOpen().GetGeneration():
	default:
	}
	opened := &dataplanev1.Opened{Generation: e.known}
	if err := st.Send(&dataplanev1.ProgramResponse{Message: &dataplanev1.ProgramResponse_Opened{Opened: opened}}); err != nil {
		return err
	}
	for {
		m, err := st.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		b := m.GetBatch()
		e.routes.Add(int64(len(b.GetV4().GetGroups()) + len(b.GetV6().GetGroups())))
		e.bytes.Add(int64(len(b.GetV4().GetPrefixes()) + 3*len(b.GetV4().GetGroups())))
		a := &dataplanev1.Acknowledged{Sequence: max(b.GetSequence(), m.GetEndOfSync().GetSequence())}
		if err := st.Send(&dataplanev1.ProgramResponse{Message: &dataplanev1.ProgramResponse_Acknowledged{Acknowledged: a}}); err != nil {
			return err
		}
	}
}

func serve(tb testing.TB, e dataplanev1.DataplaneServer) dataplanev1.DataplaneClient {
	path := filepath.Join(tb.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	dataplanev1.RegisterDataplaneServer(s, e)
	go func() { _ = s.Serve(l) }()
	tb.Cleanup(s.Stop)
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return dataplanev1.NewDataplaneClient(conn)
}

func newProgrammer(r *rib.RIB, c dataplanev1.DataplaneClient) *Programmer {
	ready := make(chan struct{})
	close(ready)
	return &Programmer{
		RIB: r, Client: c, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Ready: ready,
		Token:    func(context.Context) (uint64, error) { return 3, nil },
		Complete: func() bool { return true },
	}
}

func run(tb testing.TB, p *Programmer) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Run(ctx) }()
	tb.Cleanup(func() { cancel(); <-done })
	return ctx
}

func newRIB() *rib.RIB {
	return rib.New(table.DefaultLimits(), fib.Config{BatchSize: 4096, Window: 16})
}

func TestGenerationsGrow(t *testing.T) {
	known := uint64(99) << sessionBits // whatever happened to the tokens, the dataplane has seen more
	e := &echo{known: known, generations: make(chan uint64, 4)}
	r := newRIB()
	p := newProgrammer(r, serve(t, e))
	ctx := run(t, p)
	if first := <-e.generations; first != 3<<sessionBits+1 {
		t.Errorf("the first generation is %d", first)
	}
	if second := <-e.generations; second <= known {
		t.Errorf("the second generation is %d, the dataplane knew %d", second, known)
	}
	if err := r.Await(ctx, func(_ *table.Table, s rib.Session) bool { return s.Open }); err != nil {
		t.Fatal(err)
	}
}

// silent accepts a stream and says nothing.
type silent struct {
	dataplanev1.UnimplementedDataplaneServer
	opened chan struct{}
}

func (s *silent) Program(st grpc.BidiStreamingServer[dataplanev1.ProgramRequest, dataplanev1.ProgramResponse]) error {
	select {
	case s.opened <- struct{}{}:
	default:
	}
	<-st.Context().Done()
	return status.FromContextError(st.Context().Err()).Err()
}

func TestEndsWithItsContext(t *testing.T) {
	s := &silent{opened: make(chan struct{}, 1)}
	p := newProgrammer(newRIB(), serve(t, s))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	<-s.opened
	cancel()
	select {
	case err := <-done:
		if status.Code(err) != codes.Unknown && err != context.Canceled {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("does not end")
	}
}

func TestColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := fib.New(fib.Config{BatchSize: 64, Window: 4})
		group := o.NewGroup(fib.Content{Action: fib.Drop})
		want := map[netip.Prefix]bool{}
		for range rapid.IntRange(1, 64).Draw(t, "routes") {
			octets := rapid.SampledFrom([]int{4, 16}).Draw(t, "octets")
			a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), octets, octets).Draw(t, "address"))
			if a.Is4In6() {
				continue
			}
			p, _ := a.Prefix(rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
			if want[p] {
				continue
			}
			want[p] = true
			s := &fib.Slot{}
			s.Init(p)
			o.Want(s, group)
		}
		b := o.Next()
		if b == nil {
			return
		}
		w := request(b).GetBatch()
		var got []netip.Prefix
		for octets, c := range map[int]*dataplanev1.RouteColumns{4: w.GetV4(), 16: w.GetV6()} {
			if len(c.GetPrefixes()) != len(c.GetGroups())*(octets+1) {
				t.Fatalf("%d bytes for %d groups", len(c.GetPrefixes()), len(c.GetGroups()))
			}
			for i := range c.GetGroups() {
				at := c.GetPrefixes()[i*(octets+1):]
				a, _ := netip.AddrFromSlice(at[:octets])
				got = append(got, netip.PrefixFrom(a, int(at[octets])))
			}
		}
		if len(got) != len(want) || slices.ContainsFunc(got, func(p netip.Prefix) bool { return !want[p] }) {
			t.Fatalf("columns carry %v, want %v", got, want)
		}
	})
}

// BenchmarkProgram sends a million routes through table and stream to a dataplane that does nothing.
func BenchmarkProgram(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		b.StopTimer()
		e := &echo{generations: make(chan uint64, 1)}
		r := newRIB()
		r.Update(func(t *table.Table) {
			t.SetInterface("ge0", true)
			source := t.Source("bgp")
			for i := range n {
				var a [4]byte
				binary.BigEndian.PutUint32(a[:], 16<<24+uint32(i)<<8)
				hop := table.NextHop{Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Interface: "ge0"}
				path := table.Path{Kind: fib.Forward, Distance: 20, NextHops: []table.NextHop{hop}}
				if err := t.Set(netip.PrefixFrom(netip.AddrFrom4(a), 24), source, 0, path); err != nil {
					b.Fatal(err)
				}
			}
		})
		p := newProgrammer(r, serve(b, e))
		b.StartTimer()
		ctx := run(b, p)
		if err := r.Await(ctx, func(_ *table.Table, s rib.Session) bool { return s.Synced }); err != nil {
			b.Fatal(err)
		}
		if e.routes.Load() != n {
			b.Fatalf("%d routes", e.routes.Load())
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
}
