// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package proof holds what takes too long for a test: upgrades of a whole device under traffic, many times over
// and with everything killed in the middle. Each proof prints a line for each case and fails when a packet was
// lost, a change that was acknowledged is missing, or the device does not end on a set of components that was judged.
package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/ashlar-nos/ashlar/lab/instance"
	"github.com/ashlar-nos/ashlar/lab/intent"
	"github.com/ashlar-nos/ashlar/lab/load"
	"github.com/ashlar-nos/ashlar/lab/repository"
	"github.com/ashlar-nos/ashlar/lab/topology"
	"github.com/ashlar-nos/ashlar/lab/upgrade"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// Options say how to run.
type Options struct {
	// Build is the directory with what was built.
	Build string
	Out   io.Writer
	// Rate in packets a second.
	Rate int
	// Rounds of a proof that repeats; 0 stands for its own number.
	Rounds int
	// Components limits a proof to these; none means all.
	Components []string
}

// Rate is how many packets a second the proofs send by default.
const Rate = 50_000

// Names of the proofs.
func Names() []string { return slices.Sorted(maps.Keys(proofs())) }

func proofs() map[string]func(context.Context, *rig) error {
	return map[string]func(context.Context, *rig) error{
		"kill-matrix":  killMatrix,
		"back-to-back": backToBack,
	}
}

// Run runs one proof.
func Run(ctx context.Context, name string, o Options) (err error) {
	prove, ok := proofs()[name]
	if !ok {
		return fmt.Errorf("there is no proof %q; there are %v", name, Names())
	}
	r, err := start(ctx, o, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.end(context.WithoutCancel(ctx), err)) }()
	return prove(ctx, r)
}

// rig is an installed device under load.
type rig struct {
	Options
	lab        *instance.Lab
	packages   *upgrade.Manager
	repository *repository.Repository
	traffic    *load.Traffic
	automation *load.Automation
}

// startLimit bounds the start of the device.
const startLimit = 60 * time.Second

func start(ctx context.Context, o Options, name string) (r *rig, err error) {
	r = &rig{Options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.end(context.WithoutCancel(ctx), err))
		}
	}()
	if r.repository, err = repository.Open(o.Build + "/repo"); err != nil {
		return r, err
	}
	within, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	packages := instance.Packages{Repository: r.repository.Directory, Versions: r.repository.AllOldest()}
	if r.lab, err = instance.Install(within, o.Build, name, packages); err != nil {
		return r, err
	}
	arguments := []string{"set"}
	for _, update := range append(intent.Interfaces(), intent.Routes()...) {
		arguments = append(arguments, "--update", update)
	}
	if out, err := r.lab.Operate(within, arguments...); err != nil {
		return r, fmt.Errorf("%w: %s", err, out)
	}
	if out, err := r.lab.Operate(within, "install", "add", r.repository.Directory); err != nil {
		return r, fmt.Errorf("%w: %s", err, out)
	}
	if r.packages, err = upgrade.Dial(r.lab); err != nil {
		return r, err
	}
	return r, r.burden(within)
}

// burden starts the load, once both hosts can reach each other.
func (r *rig) burden(ctx context.Context) (err error) {
	if err := load.Reach(ctx, r.lab, nil); err != nil {
		return err
	}
	if r.traffic, err = load.StartTraffic(r.lab.Topology, r.Rate); err != nil {
		return err
	}
	r.automation, err = load.StartAutomation(r.lab, topology.LinkB2.Port)
	return err
}

func (r *rig) end(ctx context.Context, failure error) (err error) {
	if r.automation != nil {
		err = errors.Join(err, r.automation.End())
	}
	if r.traffic != nil {
		err = errors.Join(err, r.traffic.End())
	}
	if r.packages != nil {
		err = errors.Join(err, r.packages.Close())
	}
	if r.lab == nil {
		return err
	}
	if failure != nil {
		err = errors.Join(err, r.lab.KeepLogs())
	}
	return errors.Join(err, r.lab.Close(), instance.Down(ctx, r.Build, r.lab.Name))
}

// components are those to prove something of, in the order of an upgrade.
func (r *rig) components() []string {
	if len(r.Components) > 0 {
		return r.Components
	}
	return []string{"rib", "dataplane", "config", "interfaces", "host", "state", "pkgmgr", "supervisor"}
}

// other is the version of a component that does not run: the oldest or the newest of the repository.
func (r *rig) other(ctx context.Context, component string) (from, to string, err error) {
	versions, err := r.packages.Versions(ctx)
	if err != nil {
		return "", "", err
	}
	from, to = versions[component], r.repository.Newest(component)
	if from == to {
		to = r.repository.Oldest(component)
	}
	if from == to || from == "" {
		err = fmt.Errorf("%s runs as %q and there is no other version in %s", component, from, r.repository.Directory)
	}
	return from, to, err
}

// verdict is what a case came to.
type verdict struct {
	version          string
	lost, reordered  uint64
	failed, retried  int
	packets          uint64
	operation        upgrade.Result
	took             time.Duration
	everybody, fault error
}

// settleLimit bounds the wait for a device to come to rest.
const settleLimit = 45 * time.Second

// judge waits until nothing is under way and every component is ready, and reads the books.
func (r *rig) judge(ctx context.Context, component string, allowed ...string) (v verdict) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if v.fault = r.rest(ctx); v.fault != nil {
		return v
	}
	if v.everybody = r.lab.Device.WaitReady(ctx); v.everybody != nil {
		v.fault = v.everybody
	}
	packets, err := r.traffic.Account(ctx)
	v.fault = errors.Join(v.fault, err)
	calls := r.automation.Account()
	v.packets, v.lost, v.reordered = packets.Sent, packets.Lost+packets.Duplicated+packets.Damaged, packets.Reordered
	v.failed, v.retried = calls.Failed, calls.Retried
	versions, err := r.packages.Versions(ctx)
	v.version, v.fault = versions[component], errors.Join(v.fault, err)
	if err == nil && !slices.Contains(allowed, v.version) {
		v.fault = errors.Join(v.fault, fmt.Errorf("%s %q runs, expected one of %v", component, v.version, allowed))
	}
	if v.lost+v.reordered > 0 {
		v.fault = errors.Join(v.fault, fmt.Errorf("%d packets lost, %d reordered", v.lost, v.reordered))
	}
	if v.failed > 0 {
		v.fault = errors.Join(v.fault, fmt.Errorf("%d calls failed: %w", v.failed, errors.Join(calls.Errors...)))
	}
	return v
}

// rest waits until the package manager says that nothing is under way.
func (r *rig) rest(ctx context.Context) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		now, err := r.packages.Show(ctx)
		if err == nil && now.GetCurrent().GetOutcome() != pkgv1.Outcome_OUTCOME_RUNNING && now.GetRevertsAt() == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("an operation does not end: %s", now.GetCurrent()), err)
		case <-ticker.C:
		}
	}
}

// say prints a line.
func (r *rig) say(format string, arguments ...any) { fmt.Fprintf(r.Out, format+"\n", arguments...) }
