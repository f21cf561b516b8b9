// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command gnmiset measures what a change costs an operator's automation: a gNMI Set of ten leaves that two
// components own — three descriptions of interfaces, seven next hops of static routes — validated, stored
// durably, and acknowledged once the routes are in the tables that packets see. It is called on the device's
// unix socket.
//
// The peer is the least that a durable call can be: the same message, unary, on a unix socket of another
// process, which writes it to a file on the same disk, syncs the data and answers. Both are called in turns. It
// needs root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/bench/internal/report"
	"github.com/ashlar-nos/ashlar/bench/internal/router"
)

// What ours is held to: multiples of the peer's quantiles, and a rate.
const (
	barMedian = 5
	barTail   = 6
	barRate   = 500
)

func main() {
	build := flag.String("build", "build", "directory with what was built")
	pairs := flag.Int("pairs", 1500, "calls to each side, in turns")
	clients := flag.Int("clients", 32, "clients that call at once for the rate")
	seconds := flag.Duration("for", 5*time.Second, "how long they call")
	peer := flag.String("peer", "", "be the peer on this socket (the benchmark starts it itself)")
	file := flag.String("file", "", "where the peer writes")
	flag.Parse()
	var err error
	if *peer != "" {
		err = servePeer(*peer, *file)
	} else {
		err = run(context.Background(), *build, *pairs, *clients, *seconds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gnmi-set:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, build string, pairs, clients int, period time.Duration) (err error) {
	device, err := router.Up(ctx, build, "gnmi-set")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, device.Down()) }()
	peer, err := startPeer(ctx, filepath.Join(device.Device.Root, "peer"))
	if err != nil {
		return err
	}
	defer peer.stop()
	s, err := measure(ctx, device.GNMI, peer.gnmi, pairs)
	if err != nil {
		return err
	}
	if s.rate, err = rate(ctx, device.GNMI, clients, period); err != nil {
		return fmt.Errorf("%d clients: %w", clients, err)
	}
	if s.peerRate, err = rate(ctx, peer.gnmi, clients, period); err != nil {
		return fmt.Errorf("%d clients of the peer: %w", clients, err)
	}
	return s.report(clients).Finish()
}

// samples are latencies in microseconds, pair by pair, and rates in calls a second.
type samples struct {
	ours, peer, ratio []float64
	rate, peerRate    float64
}

// warm calls are not counted: connections, caches, neighbours.
const warm = 50

// measure calls both in turns with the same message, the order changing from pair to pair.
func measure(ctx context.Context, ours, peer gnmi.GNMIClient, pairs int) (samples, error) {
	var s samples
	for i := range warm + pairs {
		request, err := change(0, i)
		if err != nil {
			return s, err
		}
		sides := [2]gnmi.GNMIClient{ours, peer}
		var took [2]float64
		for turn := range sides {
			side := (turn + i) % 2
			begin := time.Now()
			if _, err := sides[side].Set(ctx, request); err != nil {
				return s, err
			}
			took[side] = float64(time.Since(begin).Nanoseconds()) / 1e3
		}
		if i >= warm {
			s.ours, s.peer = append(s.ours, took[0]), append(s.peer, took[1])
			s.ratio = append(s.ratio, took[0]/took[1])
		}
	}
	return s, nil
}

func (s samples) report(clients int) report.Report {
	quantile := func(v []float64, q float64) string { return fmt.Sprintf("%.0f", report.Quantile(v, q)) }
	row := func(name string, v []float64, rate float64) report.Row {
		return report.Row{name, quantile(v, 0.5), quantile(v, 0.9), quantile(v, 0.99), quantile(v, 1), fmt.Sprintf("%.0f", rate)}
	}
	median := report.Quantile(s.ours, 0.5) / report.Quantile(s.peer, 0.5)
	tail := report.Quantile(s.ours, 0.99) / report.Quantile(s.peer, 0.99)
	return report.Report{
		Title:  "gNMI Set of 10 leaves with two owners, validated, durable, in the forwarding tables",
		Header: report.Row{"", "p50 µs", "p90", "p99", "max", fmt.Sprintf("Sets/s, %d clients", clients)},
		Rows: []report.Row{
			row("ashlar", s.ours, s.rate),
			row("unary + write + fdatasync", s.peer, s.peerRate),
		},
		Notes: []string{
			fmt.Sprintf("p50 is %.2f times the peer's (bar %d), p99 %.2f times (bar %d), median of the paired ratios %.2f", median, barMedian, tail, barTail, report.Median(s.ratio)),
			fmt.Sprintf("%.0f Sets/s with %d clients (bar %d)", s.rate, clients, barRate),
		},
		Result: report.Result{
			Name: "gnmi-set", Unit: "µs p50", Ours: report.Quantile(s.ours, 0.5), Peer: "gRPC unary + write + fdatasync", Theirs: report.Quantile(s.peer, 0.5),
			Ratio: median, Bar: barMedian, OK: median <= barMedian && tail <= barTail && s.rate >= barRate, N: len(s.ours),
		},
	}
}
