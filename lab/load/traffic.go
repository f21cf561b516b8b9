// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package load is what a lab's router has to bear: a stream of numbered packets from host A to host B in both
// families, half of it balanced over two links, and an automation client that goes on calling. Both keep books, and
// Account tells what happened since the last time.
//
// Neither type is safe for concurrent use, but for Traffic.Total.
package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-nos/ashlar/lab/stream"
	"github.com/ashlar-nos/ashlar/lab/topology"
)

// Flows of each family: Balanced ones by the ECMP route, Single ones by the route that is moved.
const (
	Balanced = 64
	Single   = 16
)

// Traffic is the stream from host A to host B.
type Traffic struct {
	generator *stream.Generator
	meter     *stream.Meter
	cancel    context.CancelFunc
	done      chan error
	last      stream.Totals
	// Began is when the stream did.
	Began time.Time
}

// StartTraffic streams rate packets a second, both families together, until End.
func StartTraffic(top *topology.Topology, rate int) (*Traffic, error) {
	router, err := top.HardwareAddress(topology.LinkA.Port)
	if err != nil {
		return nil, err
	}
	t := &Traffic{done: make(chan error, 1)}
	t.meter, err = stream.NewMeter(top.HostB, topology.LinkB1.HostInterface, topology.LinkB2.HostInterface)
	if err != nil {
		return nil, err
	}
	from4, from6 := topology.LinkA.Host4.Addr(), topology.LinkA.Host6.Addr()
	t.generator, err = stream.NewGenerator(stream.Config{
		Host: top.HostA, Interface: topology.LinkA.HostInterface, NextHop: router,
		V4: append(stream.Spread(from4, topology.Balanced4, Balanced), stream.Spread(from4, topology.Single4, Single)...),
		V6: append(stream.Spread(from6, topology.Balanced6, Balanced), stream.Spread(from6, topology.Single6, Single)...),
	})
	if err != nil {
		return nil, errors.Join(err, t.meter.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel, t.Began = cancel, time.Now()
	go func() { t.done <- t.generator.Run(ctx, stream.Rate{V4: rate / 2, V6: rate - rate/2}) }()
	return t, nil
}

// settle bounds the wait for packets under way; in a sound network they take less than a millisecond.
const settle = time.Second

// Now is the outcome of everything sent so far.
func (t *Traffic) Now(ctx context.Context) (stream.Totals, error) {
	sent, err := t.generator.Sent()
	if err != nil {
		return stream.Totals{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	return t.meter.Settle(ctx, sent)
}

// Account returns what happened to the packets sent since the last call.
func (t *Traffic) Account(ctx context.Context) (stream.Totals, error) {
	now, err := t.Now(ctx)
	since := Difference(now, t.last)
	t.last = now
	return since, err
}

// Difference takes an earlier outcome from a later one, in everything that adds up.
func Difference(now, before stream.Totals) stream.Totals {
	since := stream.Totals{
		Sent: now.Sent - before.Sent, Received: now.Received - before.Received,
		// What seemed lost may have come late.
		Lost:      max(now.Lost, before.Lost) - before.Lost,
		Reordered: now.Reordered - before.Reordered, Duplicated: now.Duplicated - before.Duplicated,
		Stale: now.Stale - before.Stale, Damaged: now.Damaged - before.Damaged,
		MeanLatency: now.MeanLatency, LongestLatency: now.LongestLatency, LongestSilence: now.LongestSilence,
	}
	for i := range since.ByLink {
		since.ByLink[i] = now.ByLink[i] - before.ByLink[i]
	}
	return since
}

// glance is how often a wait for the stream looks at it.
const glance = 5 * time.Millisecond

// Flow waits until n more packets were sent.
func (t *Traffic) Flow(ctx context.Context, n uint64) error {
	var goal uint64
	return t.Until(ctx, func() (bool, error) {
		sum, err := t.Total()
		if goal == 0 {
			goal = sum + n
		}
		return sum >= goal, err
	})
}

// Until waits for a condition, or for the stream's end, which is an error.
func (t *Traffic) Until(ctx context.Context, condition func() (bool, error)) error {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for {
		if ok, err := condition(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-t.done:
			t.done <- err
			return errors.Join(errors.New("the stream ended"), err)
		case <-ticker.C:
		}
	}
}

// SingleByLink counts what arrived of the flows of the route that is moved.
func (t *Traffic) SingleByLink() (byLink [2]uint64, err error) {
	tallies, err := t.meter.Read(2 * (Balanced + Single))
	if err != nil {
		return byLink, err
	}
	for family := range 2 {
		first := family*(Balanced+Single) + Balanced
		for _, tally := range tallies[first : first+Single] {
			byLink[0] += tally.ByLink[0]
			byLink[1] += tally.ByLink[1]
		}
	}
	return byLink, nil
}

// Shares counts, for each family, how many balanced flows each link carries.
func (t *Traffic) Shares() (flows [2][2]int, err error) {
	tallies, err := t.meter.Read(2 * (Balanced + Single))
	if err != nil {
		return flows, err
	}
	for family := range 2 {
		first := family * (Balanced + Single)
		for i, tally := range tallies[first : first+Balanced] {
			switch {
			case tally.ByLink[0] > 0 && tally.ByLink[1] > 0:
				return flows, fmt.Errorf("flow %d went by both links, though nothing changed", first+i)
			case tally.ByLink[0] > 0:
				flows[family][0]++
			case tally.ByLink[1] > 0:
				flows[family][1]++
			}
		}
	}
	return flows, nil
}

// Stop ends the generation of packets.
func (t *Traffic) Stop() error {
	t.cancel()
	err := <-t.done
	t.done <- err // for whoever stops it again
	return err
}

// Total is how many packets were sent.
func (t *Traffic) Total() (sum uint64, err error) {
	sent, err := t.generator.Sent()
	for _, n := range sent {
		sum += n
	}
	return sum, err
}

// End stops the stream and lets go of both hosts.
func (t *Traffic) End() error {
	return errors.Join(t.Stop(), t.generator.Close(), t.meter.Close())
}
