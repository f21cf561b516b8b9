// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/ashlar-nos/ashlar/lab/instance"
	"github.com/ashlar-nos/ashlar/lab/intent"
	"github.com/ashlar-nos/ashlar/lab/load"
	"github.com/ashlar-nos/ashlar/lab/repository"
	"github.com/ashlar-nos/ashlar/lab/topology"
)

// readyLimit bounds the start of the device.
const readyLimit = 60 * time.Second

func (d *demo) start(ctx context.Context) (string, error) {
	within, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	var err error
	if d.repository, err = repository.Open(filepath.Join(d.Build, "repo")); err != nil {
		return "", err
	}
	lab, err := instance.Install(within, d.Build, labName, instance.Packages{
		Repository: d.repository.Directory, Versions: d.repository.AllOldest(),
	})
	if err != nil {
		return "", err
	}
	d.lab = lab
	for _, name := range lab.Device.Components() {
		c := lab.Device.Status(name)
		d.say("%-10s %-10s %s  ready after %d ms", c.GetName(), c.GetDaemon(), c.GetVersion(), c.GetReadyAfterMs())
	}
	return fmt.Sprintf("installed from %d signed packages, generation 1", len(d.repository.AllOldest())), nil
}

// configure sets everything as an operator does, and reads it back.
func (d *demo) configure(ctx context.Context) (string, error) {
	for _, updates := range [][]string{intent.Interfaces(), intent.Routes()} {
		if err := d.set(ctx, updates); err != nil {
			return "", err
		}
	}
	if err := d.operate(ctx, "get", "--type", "config", intent.Route(topology.Balanced4)); err != nil {
		return "", err
	}
	var err error
	d.baseline, err = d.configuration(ctx)
	return fmt.Sprintf("%d leaves", len(intent.Interfaces())+len(intent.Routes())), err
}

// set shows and runs one `ashlar set`.
func (d *demo) set(ctx context.Context, updates []string) error {
	arguments := []string{"set"}
	for _, update := range updates {
		arguments = append(arguments, "--update", update)
	}
	d.say("$ ashlar set \\")
	for _, update := range updates {
		d.say("      --update '%s'", update)
	}
	out, err := d.lab.Operate(ctx, arguments...)
	if err != nil {
		return fmt.Errorf("ashlar set: %w: %s", err, out)
	}
	return nil
}

// operate shows and runs one `ashlar` command with what it prints.
func (d *demo) operate(ctx context.Context, arguments ...string) error {
	d.say("$ ashlar %s", strings.Join(arguments, " "))
	out, err := d.lab.Operate(ctx, arguments...)
	for line := range strings.Lines(out) {
		d.say("%s", strings.TrimRight(line, "\n"))
	}
	return err
}

// configuration reads what was set, but for the leaf that the client changes all the time.
func (d *demo) configuration(ctx context.Context) (string, error) {
	out, err := d.lab.Operate(ctx, "get", "--type", "config",
		intent.Interface(topology.LinkA.Port), intent.Interface(topology.LinkB1.Port),
		intent.Route(topology.Balanced4), intent.Route(topology.Balanced6),
		intent.Route(topology.Single4), intent.Route(topology.Single6))
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return out, nil
}

// reachLimit bounds the wait for the first answers, in which neighbours are found.
const reachLimit = 20 * time.Second

func (d *demo) reach(ctx context.Context) (string, error) {
	within, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	return "", load.Reach(within, d.lab, func(address netip.Addr, trip time.Duration) {
		d.say("%s answers host A in %v", address, trip.Round(time.Microsecond))
	})
}
