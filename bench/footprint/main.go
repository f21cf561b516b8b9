// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command footprint measures the memory of an idle, configured device: the proportional set size of every
// process, from the kernel's own accounting. The forwarding tables are memory of the kernel that the dataplane
// maps; they are counted apart. It needs root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/ashlar-nos/ashlar/bench/internal/report"
	"github.com/ashlar-nos/ashlar/bench/internal/router"
)

// What the device is held to, in MB of 10^6 bytes.
const (
	barTotal = 400
	barEach  = 100
)

func main() {
	build := flag.String("build", "build", "directory with what was built")
	idle := flag.Duration("idle", 10*time.Second, "how long the device idles before it is measured")
	flag.Parse()
	if err := run(context.Background(), *build, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, build string, idle time.Duration) (err error) {
	device, err := router.Up(ctx, build, "footprint")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, device.Down()) }()
	supervisor, err := device.Supervisor()
	if err != nil {
		return err
	}
	time.Sleep(idle) // idleness is what is measured; there is no event to await
	pids := map[string]int{"supervisor": supervisor.PID}
	names := []string{"supervisor"}
	for _, name := range device.Device.Components() {
		pids[name] = int(device.Device.Status(name).GetPid())
		names = append(names, name)
	}
	var all []usage
	for _, name := range names {
		u, err := measure(name, pids[name])
		if err != nil {
			return err
		}
		all = append(all, u)
	}
	return summary(all, idle).Finish()
}

func summary(all []usage, idle time.Duration) report.Report {
	mb := func(bytes uint64) string { return fmt.Sprintf("%.1f", float64(bytes)/1e6) }
	r := report.Report{
		Title:  fmt.Sprintf("Memory of a device that has been idle for %v (MB of 10^6 bytes)", idle),
		Header: report.Row{"component", "PSS", "private", "tables mapped", "threads"},
	}
	var total, largest, tables uint64
	heaviest := ""
	for _, u := range all {
		r.Rows = append(r.Rows, report.Row{u.name, mb(u.pss), mb(u.private), mb(u.mapped), fmt.Sprint(u.threads)})
		total += u.pss
		tables += u.tables
		if u.pss > largest {
			largest, heaviest = u.pss, u.name
		}
	}
	r.Rows = append(r.Rows, report.Row{"all", mb(total), "", "", ""})
	ours := float64(total) / 1e6
	r.Notes = []string{
		fmt.Sprintf("%s MB in all (bar %d), the heaviest is %s with %s MB (bar %d)", mb(total), barTotal, heaviest, mb(largest), barEach),
		fmt.Sprintf("forwarding tables, apart: %s MB of kernel memory", mb(tables)),
	}
	r.Result = report.Result{
		Name: "footprint", Unit: "MB PSS", Ours: ours, Peer: "limit", Theirs: barTotal, Ratio: ours / barTotal, Bar: 1,
		OK: ours <= barTotal && float64(largest)/1e6 <= barEach, N: len(all),
	}
	return r
}
