// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-nos/ashlar/lab/intent"
	"github.com/ashlar-nos/ashlar/lab/load"
	"github.com/ashlar-nos/ashlar/lab/topology"
)

// calm is how many packets flow after each event, quick how many while everything is dead.
const (
	calm  = 200_000
	quick = 60_000
)

// stream starts the stream and the client. What the XDP program forwarded before is not the stream's.
func (d *demo) stream(ctx context.Context) (string, error) {
	if err := d.startCoverage(ctx); err != nil {
		return "", err
	}
	var err error
	if d.traffic, err = load.StartTraffic(d.lab.Topology, d.Rate); err != nil {
		return "", err
	}
	if d.client, err = load.StartAutomation(d.lab, topology.LinkB2.Port); err != nil {
		return "", err
	}
	if err := d.traffic.Flow(ctx, 2*calm); err != nil {
		return "", err
	}
	shares, err := d.traffic.Shares()
	if err != nil {
		return "", err
	}
	for family, flows := range shares {
		name := []string{"IPv4", "IPv6"}[family]
		d.say("%s: of %d balanced flows %d go by %s and %d by %s", name, load.Balanced,
			flows[0], topology.LinkB1.Port, flows[1], topology.LinkB2.Port)
		if 10*min(flows[0], flows[1]) < 3*load.Balanced {
			d.fault("%s: a link carries %d of %d flows, less than 30 %%", name, min(flows[0], flows[1]), load.Balanced)
		}
	}
	return fmt.Sprintf("%s packets a second", thousands(uint64(d.Rate))), nil
}

// killLimit bounds the wait for a killed component.
const killLimit = 30 * time.Second

func (d *demo) kill(ctx context.Context, name string) (string, error) {
	within, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	took, err := d.lab.Device.Kill(within, name)
	if err != nil {
		return "", err
	}
	return readyAfter(took), d.traffic.Flow(ctx, calm)
}

func readyAfter(took time.Duration) string {
	return fmt.Sprintf("ready %d ms after the kill", took.Milliseconds())
}

// killEverything leaves the packets alone with the kernel for a while, and then plays the machine's
// init: it starts the supervisor and nothing else.
func (d *demo) killEverything(ctx context.Context) (string, error) {
	within, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	supervisor, err := d.lab.Supervisor()
	if err != nil {
		return "", err
	}
	if err := d.lab.Device.WaitReady(within); err != nil {
		return "", err
	}
	if err := d.lab.Device.KillEverything(within, supervisor); err != nil {
		return "", err
	}
	d.say("no process of the router is alive")
	before, err := d.traffic.Now(within)
	if err != nil {
		return "", err
	}
	if err := d.traffic.Flow(within, quick); err != nil {
		return "", err
	}
	after, err := d.traffic.Now(within)
	if err != nil {
		return "", err
	}
	alone := load.Difference(after, before)
	d.say("%s packets forwarded, %d lost meanwhile", thousands(alone.Received), alone.Lost)
	begin := time.Now()
	if err := d.lab.StartSupervisor(); err != nil {
		return "", err
	}
	if err := d.lab.Device.WaitReady(within); err != nil {
		return "", err
	}
	return fmt.Sprintf("ready %d ms after the supervisor's start", time.Since(begin).Milliseconds()), d.traffic.Flow(ctx, calm)
}

// compare reads the configuration again. The client meanwhile compares its own leaf with each call.
func (d *demo) compare(ctx context.Context) (string, error) {
	now, err := d.configuration(ctx)
	if err != nil {
		return "", err
	}
	if now != d.baseline {
		d.fault("the configuration differs from what was acknowledged:\n%s\nnow:\n%s", d.baseline, now)
		return "differs", nil
	}
	return "the same", nil
}

// move leads the single routes by the other link and waits for their packets there.
func (d *demo) move(ctx context.Context) (string, error) {
	before, err := d.traffic.SingleByLink()
	if err != nil {
		return "", err
	}
	begin := time.Now()
	if err := d.set(ctx, intent.Move(topology.LinkB2)); err != nil {
		return "", err
	}
	acknowledged := time.Since(begin)
	last := before
	err = d.traffic.Until(ctx, func() (bool, error) {
		now, err := d.traffic.SingleByLink()
		moved := now[0] == last[0] && now[1] > last[1]
		last = now
		return moved, err
	})
	if err != nil {
		return "", fmt.Errorf("the packets do not move: %w", err)
	}
	if err := d.traffic.Flow(ctx, calm); err != nil {
		return "", err
	}
	after, err := d.traffic.SingleByLink()
	if err != nil {
		return "", err
	}
	if after[0] != last[0] {
		d.fault("%d packets still took the old way after the move", after[0]-last[0])
	}
	d.say("to %s and %s: by %s %s packets before and %s more after, by %s %s before and %s after",
		topology.Single4, topology.Single6,
		topology.LinkB1.Port, thousands(before[0]), thousands(after[0]-before[0]),
		topology.LinkB2.Port, thousands(before[1]), thousands(after[1]))
	d.baseline, err = d.configuration(ctx)
	return fmt.Sprintf("acknowledged in %d ms", acknowledged.Milliseconds()), err
}

func (d *demo) show(ctx context.Context) (string, error) {
	err := d.operate(ctx, "status")
	for _, port := range topology.Ports() {
		err = errors.Join(err, d.operate(ctx, "get", intent.Interface(port)+"/state/counters"))
	}
	return "", err
}

// stop ends the stream and sees that it went through the XDP program.
func (d *demo) stop(ctx context.Context) (string, error) {
	d.client.Stop()
	if err := d.traffic.Stop(); err != nil {
		return "", err
	}
	if err := d.checkRate(time.Since(d.traffic.Began)); err != nil {
		return "", err
	}
	stats := d.client.Stats()
	d.say("calls: half of them within %v, 99 %% within %v",
		stats.Quantile(0.5).Round(time.Microsecond), stats.Quantile(0.99).Round(time.Microsecond))
	return d.checkCoverage(ctx)
}

// checkRate sees that the machine kept up with the stream it was asked for, by and large.
func (d *demo) checkRate(took time.Duration) error {
	total, err := d.traffic.Total()
	if err != nil {
		return err
	}
	rate := float64(total) / took.Seconds()
	d.say("the stream had %s packets a second for %v", thousands(uint64(rate)), took.Round(100*time.Millisecond))
	if 6*rate < 5*float64(d.Rate) {
		d.fault("the stream had %s packets a second instead of %s: this machine is too busy for the demo", thousands(uint64(rate)), thousands(uint64(d.Rate)))
	}
	return nil
}
