// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package demo shows what Ashlar promises, on one machine and in under three minutes: a router is installed from
// signed packages and configured by gNMI, forwards a stream of numbered packets by XDP, has every daemon killed under it,
// one by one and then all at once, and has a route moved. Then every component is upgraded in service, two are rolled back,
// and packages that must not run are refused, or reversed. A client goes on calling its API all the while; from the
// first upgrade on it tries no call again.
//
// Run fails if a packet was lost, out of order or damaged, if a call failed, if an acknowledged change is
// missing, or if the stream went by another way than the XDP program and both links. It takes away what it made,
// also when it is interrupted.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ashlar-nos/ashlar/lab/faulty"
	"github.com/ashlar-nos/ashlar/lab/instance"
	"github.com/ashlar-nos/ashlar/lab/load"
	"github.com/ashlar-nos/ashlar/lab/repository"
	"github.com/ashlar-nos/ashlar/lab/trial"
	"github.com/ashlar-nos/ashlar/lab/upgrade"
)

// Rate is how many packets a second the stream has by default, both families together.
const Rate = 120_000

// Options say how to run.
type Options struct {
	// Build is the directory with what was built.
	Build string
	Out   io.Writer
	// Rate in packets a second, both families together.
	Rate int
}

// labName is the demo's own lab, so that it leaves `make up` alone.
const labName = "demo"

// limit bounds the whole demo.
const limit = 5 * time.Minute

type demo struct {
	Options
	lab     *instance.Lab
	traffic *load.Traffic
	// repository is where the device was installed from, packages its package manager.
	repository *repository.Repository
	packages   *upgrade.Manager
	client     *load.Automation
	// bad are packages that must not run.
	bad  map[faulty.Kind]*faulty.Package
	rows []row
	// baseline is the configuration as it was acknowledged, to be compared with after everything was killed.
	baseline string
	// alreadyForwarded is the XDP program's count before the stream.
	alreadyForwarded uint64
	// faults are what went wrong without ending the demo.
	faults []error
}

// step is one line of the demo.
type step struct {
	name string
	// run does it and returns a remark for the table.
	run func(ctx context.Context) (string, error)
}

func (d *demo) steps() []step {
	steps := []step{
		{"make packages that must not run", d.makeBad},
		{"start the router and two hosts", d.start},
		{"configure by gNMI", d.configure},
		{"reach host B from host A", d.reach},
		{"stream in both families", d.stream},
	}
	for _, name := range []string{"state", "config", "host", "interfaces", "rib", "dataplane", "pkgmgr"} {
		steps = append(steps, step{"SIGKILL " + name, func(ctx context.Context) (string, error) { return d.kill(ctx, name) }})
	}
	steps = append(steps,
		step{"SIGKILL everything, supervisor included", d.killEverything},
		step{"every acknowledged change is there", d.compare},
		step{"move a route to the other link", d.move},
		step{"show the packages; no call is tried again", d.openRepository},
	)
	for _, name := range trial.Components() {
		steps = append(steps, step{"upgrade " + name, func(ctx context.Context) (string, error) { return d.upgrade(ctx, name) }})
	}
	steps = append(steps, step{"roll back rib and dataplane", func(ctx context.Context) (string, error) { return d.rollBack(ctx, "rib", "dataplane") }})
	for _, b := range refused() {
		steps = append(steps, step{"refuse: " + b.what, func(ctx context.Context) (string, error) { return d.refuse(ctx, b) }})
	}
	for _, b := range failing() {
		steps = append(steps, step{"upgrade to a rib that " + b.what, func(ctx context.Context) (string, error) { return d.fail(ctx, b) }})
	}
	return append(steps,
		step{"apply, do not commit", d.expire},
		step{"the configuration is the same", d.compare},
		step{"status and forwarding counters", d.show},
		step{"stop the stream", d.stop},
	)
}

// Run shows everything.
func Run(ctx context.Context, o Options) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	turn, err := takeTurn(o.Build)
	if err != nil {
		return err
	}
	defer turn.Close()
	d := &demo{Options: o, bad: map[faulty.Kind]*faulty.Package{}}
	begin := time.Now()
	defer func() { err = errors.Join(err, d.end(ctx, err)) }()
	for _, s := range d.steps() {
		if err := d.perform(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	d.printTable(time.Since(begin))
	return errors.Join(d.faults...)
}

// perform runs a step and keeps the books of what happened meanwhile.
func (d *demo) perform(ctx context.Context, s step) error {
	fmt.Fprintf(d.Out, "── %s\n", s.name)
	begin := time.Now()
	streaming := d.traffic != nil
	remark, err := s.run(ctx)
	if err != nil {
		return err
	}
	r := row{name: s.name, took: time.Since(begin), remark: remark}
	if streaming || d.traffic != nil {
		if err := d.account(ctx, &r); err != nil {
			return err
		}
	}
	d.rows = append(d.rows, r)
	fmt.Fprintf(d.Out, "   %s\n", r.line())
	return nil
}

// account adds what the stream and the client did since the row before.
func (d *demo) account(ctx context.Context, r *row) error {
	packets, err := d.traffic.Account(ctx)
	if err != nil {
		return err
	}
	r.measured, r.packets, r.calls = true, packets, d.client.Account()
	if lost := packets.Lost + packets.Duplicated + packets.Damaged; lost > 0 {
		d.fault("%s: %d packets lost, %d duplicated, %d damaged", r.name, packets.Lost, packets.Duplicated, packets.Damaged)
	}
	// A deliberate change of path may reorder; nothing else may.
	if packets.Reordered > 0 && !r.moves() {
		d.fault("%s: %d packets reordered", r.name, packets.Reordered)
	}
	if r.calls.Failed > 0 {
		d.fault("%s: %d calls failed: %w", r.name, r.calls.Failed, errors.Join(r.calls.Errors...))
	}
	return nil
}

// fault notes what is wrong; the demo goes on and fails at its end.
func (d *demo) fault(format string, arguments ...any) {
	err := fmt.Errorf(format, arguments...)
	d.faults = append(d.faults, err)
	d.say("FAULT: %v", err)
}

func (d *demo) say(format string, arguments ...any) {
	fmt.Fprintf(d.Out, "   "+format+"\n", arguments...)
}

// end stops what runs and takes the lab down. After a failure the device's logs are kept.
func (d *demo) end(ctx context.Context, failure error) (err error) {
	if d.packages != nil {
		err = d.packages.Close()
	}
	if d.client != nil {
		err = errors.Join(err, d.client.End())
	}
	if d.traffic != nil {
		err = errors.Join(err, d.traffic.End())
	}
	if d.lab == nil {
		return err
	}
	if failure != nil && !errors.Is(ctx.Err(), context.Canceled) {
		err = errors.Join(err, d.lab.KeepLogs())
	}
	return errors.Join(err, d.lab.Close(), instance.Down(context.WithoutCancel(ctx), d.Build, labName))
}
