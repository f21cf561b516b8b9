// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/ashlar-nos/ashlar/lab/ping"
	"github.com/ashlar-nos/ashlar/lab/stream"
	"github.com/ashlar-nos/ashlar/lab/topology"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces and load XDP programs: run them as root")
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// bench is a plain Linux router between the generator and the meter.
type bench struct {
	*topology.Topology
	meter *stream.Meter
}

func newBench(t *testing.T) *bench {
	t.Helper()
	top, err := topology.Build(fmt.Sprintf("test-%d-%s", os.Getpid(), strings.ToLower(path.Base(t.Name()))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		top.Close()
		if err := topology.Destroy(top.Name); err != nil {
			t.Error(err)
		}
	})
	if err := top.RouteByKernel(); err != nil {
		t.Fatal(err)
	}
	b := &bench{Topology: top}
	b.meter, err = stream.NewMeter(top.HostB, topology.LinkB1.HostInterface, topology.LinkB2.HostInterface)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.meter.Close() })
	b.resolve(t)
	return b
}

// resolve lets the router learn its neighbours, so that the first frames do not wait for that.
func (b *bench) resolve(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, link := range []topology.Link{topology.LinkB1, topology.LinkB2} {
		for _, address := range []netip.Addr{link.Host4.Addr(), link.Host6.Addr()} {
			if _, err := ping.Until(ctx, b.HostA, address); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (b *bench) generator(t *testing.T, config stream.Config) *stream.Generator {
	t.Helper()
	mac, err := b.HardwareAddress(topology.LinkA.Port)
	if err != nil {
		t.Fatal(err)
	}
	config.Host, config.Interface, config.NextHop = b.HostA, topology.LinkA.HostInterface, mac
	if config.V4 == nil {
		config.V4 = stream.Spread(topology.LinkA.Host4.Addr(), topology.Balanced4, 64)
	}
	if config.V6 == nil {
		config.V6 = stream.Spread(topology.LinkA.Host6.Addr(), topology.Balanced6, 64)
	}
	g, err := stream.NewGenerator(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

func (b *bench) settle(t *testing.T, g *stream.Generator, within time.Duration) stream.Totals {
	t.Helper()
	sent, err := g.Sent()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	totals, err := b.meter.Settle(ctx, sent)
	if err != nil {
		t.Fatal(err)
	}
	return totals
}

func TestEveryFrameIsCounted(t *testing.T) {
	b := newBench(t)
	g := b.generator(t, stream.Config{})
	if err := g.Send(6400, 3200); err != nil {
		t.Fatal(err)
	}
	totals := b.settle(t, g, 10*time.Second)
	if totals.Sent != 9600 || totals.Received != 9600 {
		t.Errorf("sent %d, received %d; want 9600 each", totals.Sent, totals.Received)
	}
	if err := totals.Clean(); err != nil {
		t.Error(err)
	}
	for link, count := range totals.ByLink[:2] {
		if count < 9600*3/10 {
			t.Errorf("link %d carried %d of 9600", link, count)
		}
	}
	if totals.MeanLatency <= 0 || totals.LongestLatency < totals.MeanLatency {
		t.Errorf("latency: mean %v, longest %v", totals.MeanLatency, totals.LongestLatency)
	}
}

func TestLargeFrames(t *testing.T) {
	b := newBench(t)
	g := b.generator(t, stream.Config{FrameSize: 1514})
	if err := g.Send(640, 640); err != nil {
		t.Fatal(err)
	}
	totals := b.settle(t, g, 10*time.Second)
	if err := totals.Clean(); err != nil || totals.Received != 1280 {
		t.Errorf("received %d of 1280: %v", totals.Received, err)
	}
}

func TestDeliberateFaults(t *testing.T) {
	// 64 flows of 105 frames in each family, a fault at every tenth sequence.
	for _, test := range []struct {
		desc   string
		faults stream.Faults
		check  func(stream.Totals) bool
	}{
		{"lost", stream.Faults{Skip: 10}, func(x stream.Totals) bool {
			return x.Lost > 0 && x.Lost == x.Sent-x.Received && x.Reordered+x.Duplicated == 0
		}},
		{"reordered", stream.Faults{Swap: 10}, func(x stream.Totals) bool {
			return x.Reordered == 128*10 && x.Lost+x.Duplicated == 0
		}},
		{"duplicated", stream.Faults{Repeat: 10}, func(x stream.Totals) bool {
			return x.Duplicated == x.Received-x.Sent && x.Duplicated > 0 && x.Lost+x.Reordered == 0
		}},
	} {
		t.Run(test.desc, func(t *testing.T) {
			b := newBench(t)
			g := b.generator(t, stream.Config{Faults: test.faults})
			if err := g.Send(64*105, 64*105); err != nil {
				t.Fatal(err)
			}
			totals := b.settle(t, g, 500*time.Millisecond)
			if totals.Received != 128*105 {
				t.Errorf("received %d frames of %d", totals.Received, 128*105)
			}
			if totals.Clean() == nil || !test.check(totals) {
				t.Errorf("counted %+v", totals)
			}
		})
	}
}

func TestPacedStreamGoesOnWhileItIsRead(t *testing.T) {
	b := newBench(t)
	g := b.generator(t, stream.Config{})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, stream.Rate{V4: 5000, V6: 5000}) }()
	for range 5 {
		within, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		before, _ := b.meter.Read(128)
		for grown := false; !grown && within.Err() == nil; {
			now, err := b.meter.Read(128)
			if err != nil {
				t.Fatal(err)
			}
			grown = now[0].Received > before[0].Received && now[127].Received > before[127].Received
		}
		cancel()
		if totals := b.settle(t, g, 10*time.Second); totals.Lost != 0 {
			t.Errorf("under way: %v", totals.Clean())
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := b.settle(t, g, 10*time.Second).Clean(); err != nil {
		t.Error(err)
	}
}

func TestBrokenRouterIsNoticed(t *testing.T) {
	b := newBench(t)
	g := b.generator(t, stream.Config{})
	if err := b.Device.Sysctl("ipv4/ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
	if err := g.Send(640, 640); err != nil {
		t.Fatal(err)
	}
	totals := b.settle(t, g, 500*time.Millisecond)
	if totals.Lost != 640 || totals.Received != 640 {
		t.Errorf("received %d, lost %d; want 640 and 640", totals.Received, totals.Lost)
	}
}

func TestOtherTrafficPassesTheMeter(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := ping.Until(ctx, b.HostA, netip.MustParseAddr("10.99.3.4")); err != nil {
		t.Error(err)
	}
}

func TestMistakesAreRefused(t *testing.T) {
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := stream.NewMeter(n, "absent0"); err == nil {
		t.Error("a meter on a link that is not there was accepted")
	}
	if _, err := stream.NewGenerator(stream.Config{Host: n, Interface: "lo"}); err == nil {
		t.Error("a stream without flows was accepted")
	}
}
