// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package trial is a device that was installed from packages and is upgraded under load: a stream in both families
// and an automation client. After each change Judge says whether anything was lost and whether the device came to rest
// on a version that it may run.
//
// A Trial is used by one goroutine at a time.
package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// Options say what to start.
type Options struct {
	// Build is the directory with what was built, Name the lab's.
	Build, Name string
	// Rate in packets a second; 0 means Rate.
	Rate int
	// Versions are entries component=version to install; none means the oldest of every component.
	Versions []string
}

// Rate is how many packets a second are sent unless the options say otherwise.
const Rate = 50_000

// Trial is an installed device under load.
type Trial struct {
	Options
	Lab        *instance.Lab
	Packages   *upgrade.Manager
	Repository *repository.Repository
	Traffic    *load.Traffic
	Automation *load.Automation
}

// startLimit bounds the start of the device.
const startLimit = 60 * time.Second

// Start installs a device, configures it and begins to load it. After an error nothing is left.
func Start(ctx context.Context, o Options) (r *Trial, err error) {
	r = &Trial{Options: o}
	r.Rate = cmp.Or(r.Rate, Rate)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.End(context.WithoutCancel(ctx), err))
		}
	}()
	if r.Repository, err = repository.Open(o.Build + "/repo"); err != nil {
		return r, err
	}
	within, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if len(r.Versions) == 0 {
		r.Versions = r.Repository.AllOldest()
	}
	packages := instance.Packages{Repository: r.Repository.Directory, Versions: r.Versions}
	if r.Lab, err = instance.Install(within, o.Build, o.Name, packages); err != nil {
		return r, err
	}
	arguments := []string{"set"}
	for _, update := range append(intent.Interfaces(), intent.Routes()...) {
		arguments = append(arguments, "--update", update)
	}
	if out, err := r.Lab.Operate(within, arguments...); err != nil {
		return r, fmt.Errorf("%w: %s", err, out)
	}
	if out, err := r.Lab.Operate(within, "install", "add", r.Repository.Directory); err != nil {
		return r, fmt.Errorf("%w: %s", err, out)
	}
	if r.Packages, err = upgrade.Dial(r.Lab); err != nil {
		return r, err
	}
	return r, r.burden(within)
}

// burden starts the load, once both hosts can reach each other.
func (r *Trial) burden(ctx context.Context) (err error) {
	if err := load.Reach(ctx, r.Lab, nil); err != nil {
		return err
	}
	if r.Traffic, err = load.StartTraffic(r.Lab.Topology, r.Rate); err != nil {
		return err
	}
	r.Automation, err = load.StartAutomation(r.Lab, topology.LinkB2.Port)
	return err
}

// End takes everything away. After a failure the device's logs are kept, and the error says where.
func (r *Trial) End(ctx context.Context, failure error) (err error) {
	if r.Automation != nil {
		err = errors.Join(err, r.Automation.End())
	}
	if r.Traffic != nil {
		err = errors.Join(err, r.Traffic.End())
	}
	if r.Packages != nil {
		err = errors.Join(err, r.Packages.Close())
	}
	if r.Lab == nil {
		return err
	}
	if failure != nil {
		err = errors.Join(err, r.Lab.KeepLogs())
	}
	return errors.Join(err, r.Lab.Close(), instance.Down(ctx, r.Build, r.Lab.Name))
}

// Other is the version of a component that does not run: the oldest or the newest of the repository.
func (r *Trial) Other(ctx context.Context, component string) (from, to string, err error) {
	versions, err := r.Packages.Versions(ctx)
	if err != nil {
		return "", "", err
	}
	from, to = versions[component], r.Repository.Newest(component)
	if from == to {
		to = r.Repository.Oldest(component)
	}
	if from == to || from == "" {
		err = fmt.Errorf("%s runs as %q and there is no other version in %s", component, from, r.Repository.Directory)
	}
	return from, to, err
}

// Verdict is what a change came to.
type Verdict struct {
	// Version of the component that runs.
	Version                  string
	Packets, Lost, Reordered uint64
	Failed, Retried          int
	// Fault is nil when nothing was lost, nothing failed, and the device is at rest on a version that was allowed.
	Fault error
}

// settleLimit bounds the wait for a device to come to rest.
const settleLimit = 45 * time.Second

// Judge waits until nothing is under way and every component is ready, and reads the books.
func (r *Trial) Judge(ctx context.Context, component string, allowed ...string) (v Verdict) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if v.Fault = r.Rest(ctx); v.Fault != nil {
		return v
	}
	v.Fault = r.Lab.Device.WaitReady(ctx)
	packets, err := r.Traffic.Account(ctx)
	v.Fault = errors.Join(v.Fault, err)
	calls := r.Automation.Account()
	v.Packets, v.Lost, v.Reordered = packets.Sent, packets.Lost+packets.Duplicated+packets.Damaged, packets.Reordered
	v.Failed, v.Retried = calls.Failed, calls.Retried
	versions, err := r.Packages.Versions(ctx)
	v.Version, v.Fault = versions[component], errors.Join(v.Fault, err)
	if err == nil && !slices.Contains(allowed, v.Version) {
		v.Fault = errors.Join(v.Fault, fmt.Errorf("%s %q runs, expected one of %v", component, v.Version, allowed))
	}
	if v.Lost+v.Reordered > 0 {
		v.Fault = errors.Join(v.Fault, fmt.Errorf("%d packets lost, %d reordered", v.Lost, v.Reordered))
	}
	if v.Failed > 0 {
		v.Fault = errors.Join(v.Fault, fmt.Errorf("%d calls failed: %w", v.Failed, errors.Join(calls.Errors...)))
	}
	return v
}

// Rest waits until the package manager says that nothing is under way.
func (r *Trial) Rest(ctx context.Context) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		now, err := r.Packages.Show(ctx)
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

// Components are all that a device has, the supervisor included, in the order in which they are upgraded one by one.
func Components() []string {
	return []string{"rib", "dataplane", "config", "interfaces", "host", "state", "pkgmgr", "supervisor"}
}
