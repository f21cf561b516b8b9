// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command v4forwarding measures what one IPv4 packet costs in our forwarding program beside a router by
// bpf_fib_lookup with the same routes in the kernel's table. Both run by BPF_PROG_TEST_RUN on the same trace of
// destinations, alternately; the cost of sending the packet there, measured in the same rounds, is subtracted.
// Ours is the whole program as devices run it: checks, ECMP, counters, drop reasons. It needs root.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/bench/internal/report"
	"github.com/ashlar-nos/ashlar/lab/netns"
)

// bar: ours may cost a fifth of the peer's.
const bar = 0.2

func main() {
	routes := flag.Int("routes", 1_000_000, "routes in both tables")
	rounds := flag.Int("rounds", 15, "rounds of floor, ours, peer")
	packets := flag.Int("packets", 1<<20, "packets in one measurement")
	flag.Parse()
	if err := undisturbed(); err != nil {
		fmt.Fprintln(os.Stderr, "v4-forwarding:", err)
		os.Exit(1)
	}
	if err := run(*routes, *rounds, *packets); err != nil {
		fmt.Fprintln(os.Stderr, "v4-forwarding:", err)
		os.Exit(1)
	}
}

// undisturbed starts this command anew without Go's preemption signals, which would end a run of the program early.
func undisturbed() error {
	const setting = "asyncpreemptoff=1"
	if strings.Contains(os.Getenv("GODEBUG"), setting) {
		return nil
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), "GODEBUG="+setting))
}

func run(routes, rounds, packets int) error {
	if os.Geteuid() != 0 {
		return errors.New("it loads BPF programs and makes a network namespace: run it as root")
	}
	namespace, err := netns.New()
	if err != nil {
		return err
	}
	defer namespace.Close()
	return namespace.Do(func() error { return measureAll(routes, rounds, packets) })
}

func measureAll(n, rounds, packets int) error {
	routes := makeRoutes(n, peerHops)
	t, err := newTrial(routes, packets)
	if err != nil {
		return err
	}
	defer t.close()
	s, err := t.rounds(rounds)
	if err != nil {
		return err
	}
	return t.report(s, n, rounds*packets).Finish()
}

// samples are ns a packet, one for each round.
type samples struct{ floor, ours, peer, ratio []float64 }

func (t *trial) rounds(n int) (samples, error) {
	var s samples
	for range n {
		var ns [3]float64
		for i := range ns {
			var err error
			if ns[i], err = t.measure(i); err != nil {
				return s, err
			}
		}
		s.floor, s.ours, s.peer = append(s.floor, ns[0]), append(s.ours, ns[1]), append(s.peer, ns[2])
		s.ratio = append(s.ratio, (ns[1]-ns[0])/(ns[2]-ns[0]))
	}
	return s, nil
}

func (t *trial) report(s samples, routes, packets int) report.Report {
	floor, ours, peer := report.Median(s.floor), report.Median(s.ours), report.Median(s.peer)
	ratio := report.Median(s.ratio)
	row := func(name string, v []float64, above float64) report.Row {
		return report.Row{name, fmt.Sprintf("%.1f", report.Median(v)), fmt.Sprintf("%.1f", above), fmt.Sprintf("%.1f – %.1f", report.Quantile(v, 0), report.Quantile(v, 1))}
	}
	return report.Report{
		Title:  fmt.Sprintf("IPv4 forwarding, %d routes, destinations uniform over routed space", routes),
		Header: report.Row{"", "ns/packet", "over floor", "range"},
		Rows: []report.Row{
			row("floor (XDP_DROP)", s.floor, 0),
			row("ashlar", s.ours, ours-floor),
			row("bpf_fib_lookup router", s.peer, peer-floor),
		},
		Notes: []string{
			fmt.Sprintf("ratio of the costs over the floor: %.3f (bar %.3f), median of %d rounds", ratio, bar, len(s.ratio)),
			fmt.Sprintf("one transaction of %d routes: %v; one of kernel routes by raw netlink: %v", routes, t.oursLoad.Round(time.Millisecond), t.peerLoad.Round(time.Millisecond)),
			"tables: " + t.router.Describe(),
		},
		Result: report.Result{
			Name: "v4-forwarding", Unit: "ns/packet over floor", Ours: ours - floor, Peer: "bpf_fib_lookup router", Theirs: peer - floor,
			Ratio: ratio, Bar: bar, OK: ratio <= bar, N: packets,
		},
	}
}
