// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command coldstart measures how long a configured device takes from nothing to forwarding, as after a
// reboot: no process, nothing pinned in the kernel, no address on any port, no neighbour known; only the
// disk is as it was. The clock runs from the start of the supervisor until every component is ready and a host
// on one side has an answer, by both families, from an address behind the host on the other side.
//
// Beside it the state store's replay: a client reads a table of many rows as a watch begins, in turns with
// decoding the very same messages from memory. It needs root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/ashlar-nos/ashlar/bench/internal/report"
	"github.com/ashlar-nos/ashlar/bench/internal/router"
)

const (
	// barSeconds is the longest a cold start may take.
	barSeconds = 3
	// barReplay is the least speed of the replay, relative to decoding alone.
	barReplay = 0.5
)

func main() {
	build := flag.String("build", "build", "directory with what was built")
	starts := flag.Int("starts", 7, "cold starts")
	rows := flag.Int("rows", 100_000, "rows of the replayed table")
	replays := flag.Int("replays", 9, "replays")
	flag.Parse()
	if err := run(context.Background(), *build, *starts, *rows, *replays); err != nil {
		fmt.Fprintln(os.Stderr, "cold-start:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, build string, starts, rows, replays int) (err error) {
	device, err := router.Up(ctx, build, "cold-start")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, device.Down()) }()
	var all []start
	for range starts {
		s, err := coldStart(ctx, device, build)
		if err != nil {
			return errors.Join(err, device.KeepLogs())
		}
		all = append(all, s)
	}
	speed, err := replay(ctx, device, rows, replays)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	return summary(all, speed, rows).Finish()
}

func summary(all []start, speed replaySpeed, rows int) report.Report {
	var ready, answer4, answer6, total []float64
	components := map[string][]float64{}
	for _, s := range all {
		ready = append(ready, s.ready.Seconds())
		answer4, answer6 = append(answer4, s.answer4.Seconds()), append(answer6, s.answer6.Seconds())
		total = append(total, max(s.ready, s.answer4, s.answer6).Seconds())
		for name, took := range s.components {
			components[name] = append(components[name], took.Seconds())
		}
	}
	row := func(name string, v []float64) report.Row {
		return report.Row{name, fmt.Sprintf("%.2f", report.Median(v)), fmt.Sprintf("%.2f", report.Quantile(v, 0)), fmt.Sprintf("%.2f", report.Quantile(v, 1))}
	}
	r := report.Report{
		Title:  "Cold start of a configured device, seconds from the start of the supervisor",
		Header: report.Row{"", "median", "least", "most"},
	}
	for _, name := range sortedNames(components) {
		r.Rows = append(r.Rows, row("  "+name+" (from its own start)", components[name]))
	}
	r.Rows = append(r.Rows, row("every component ready", ready), row("first IPv4 answer through the device", answer4),
		row("first IPv6 answer through the device", answer6), row("all of it", total))
	ours, share := report.Median(total), report.Median(speed.share)
	r.Notes = []string{
		fmt.Sprintf("median %.2f s (bar %d s)", ours, barSeconds),
		fmt.Sprintf("replay of %d rows: %.0f rows/s, decoding the same messages %.0f rows/s: %.0f %% (bar %.0f %%)",
			rows, report.Median(speed.replayed), report.Median(speed.decoded), 100*share, 100*barReplay),
	}
	r.Result = report.Result{
		Name: "cold-start", Unit: "s", Ours: ours, Peer: "limit", Theirs: barSeconds, Ratio: ours / barSeconds, Bar: 1,
		OK: ours <= barSeconds && share >= barReplay, N: len(all),
	}
	return r
}
