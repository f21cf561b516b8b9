// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command upgrade measures in-service upgrades of every component of a device under traffic: how long one takes from
// apply to committed, and for how long nobody takes calls at its cutover. Beside each it times a plain RPM transaction of
// the same package into an empty root, which replaces files and nothing else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/ashlar-nos/ashlar/bench/internal/report"
	"github.com/ashlar-nos/ashlar/lab/trial"
	"github.com/ashlar-nos/ashlar/lab/upgrade"
)

// What an upgrade is held to: seconds from apply to committed, milliseconds without anybody who takes calls.
const (
	barTotal       = 5
	barFrozen      = 100
	barFrozenState = 300
)

// shortest is the least time that a version is observed; without it the gates would read nothing.
const shortest = 100 * time.Millisecond

func main() {
	build := flag.String("build", "build", "directory with what was built")
	rounds := flag.Int("rounds", 5, "upgrades of each component, and as many ways back")
	flag.Parse()
	if err := run(context.Background(), *build, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "upgrade:", err)
		os.Exit(1)
	}
}

// series is what was measured of one component.
type series struct {
	component string
	// seconds of each upgrade and of each plain transaction; milliseconds frozen.
	total, plain, frozen []float64
	packets, lost        uint64
	failed               int
}

func run(ctx context.Context, build string, rounds int) (err error) {
	t, err := trial.Start(ctx, trial.Options{Build: build, Name: fmt.Sprintf("upgrade-%d", os.Getpid())})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.End(context.WithoutCancel(ctx), err)) }()
	t.Automation.Strict(true)
	var all []series
	for _, component := range trial.Components() {
		s := series{component: component}
		for range 2 * rounds {
			if err := s.measure(ctx, t); err != nil {
				return fmt.Errorf("%s: %w", component, err)
			}
		}
		all = append(all, s)
	}
	return summary(all).Finish()
}

// measure goes to the other version once, and times a plain transaction of its package.
func (s *series) measure(ctx context.Context, t *trial.Trial) error {
	_, to, err := t.Other(ctx, s.component)
	if err != nil {
		return err
	}
	if _, err := t.Packages.Propose(ctx, s.component+"="+to); err != nil {
		return err
	}
	begin := time.Now()
	result, err := t.Packages.Apply(ctx, upgrade.Options{Soak: shortest, Commit: true})
	s.total = append(s.total, time.Since(begin).Seconds())
	if err := errors.Join(err, result.Err()); err != nil {
		return err
	}
	s.frozen = append(s.frozen, float64(result.Frozen[s.component])/1e6)
	v := t.Judge(ctx, s.component, to)
	s.packets, s.lost, s.failed = s.packets+v.Packets, s.lost+v.Lost+v.Reordered, s.failed+v.Failed
	file, _ := t.Repository.File(s.component, to)
	took, err := transaction(ctx, file)
	s.plain = append(s.plain, took.Seconds())
	return err
}

func summary(all []series) report.Report {
	r := report.Report{
		Title:  "One component upgraded under traffic, from apply to committed",
		Header: report.Row{"component", "s median", "most", "plain rpm -i, s", "frozen ms median", "p99", "packets", "lost", "calls failed"},
	}
	var total, plain, ratios []float64
	ok := true
	for _, s := range all {
		bar := float64(barFrozen)
		if s.component == "state" {
			bar = barFrozenState
		}
		frozen := report.Quantile(s.frozen, 0.99)
		most := report.Quantile(s.total, 1)
		ok = ok && most <= barTotal && frozen <= bar && s.lost == 0 && s.failed == 0
		r.Rows = append(r.Rows, report.Row{
			s.component, fmt.Sprintf("%.2f", report.Median(s.total)), fmt.Sprintf("%.2f", most), fmt.Sprintf("%.2f", report.Median(s.plain)),
			fmt.Sprintf("%.1f", report.Median(s.frozen)), fmt.Sprintf("%.1f", frozen),
			fmt.Sprint(s.packets), fmt.Sprint(s.lost), fmt.Sprint(s.failed),
		})
		for i := range s.total {
			ratios = append(ratios, s.total[i]/s.plain[i])
		}
		total, plain = append(total, s.total...), append(plain, s.plain...)
	}
	r.Notes = []string{
		fmt.Sprintf("bars: %d s from apply to committed, frozen p99 %d ms (state %d ms), nothing lost, nothing failed, no call tried again", barTotal, barFrozen, barFrozenState),
		fmt.Sprintf("each version was observed for %v; the plain transaction only replaces files", shortest),
	}
	r.Result = report.Result{
		Name: "upgrade", Unit: "s", Ours: report.Median(total), Peer: "plain rpm transaction", Theirs: report.Median(plain),
		Ratio: report.Median(ratios), Bar: barTotal / max(report.Median(plain), 1e-3), OK: ok, N: len(total),
	}
	return r
}
