// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-nos/ashlar/lab/stream"
	"github.com/ashlar-nos/ashlar/lab/topology"
)

// Flows of each family: balanced ones by the ECMP route, single ones by the route that is moved.
const (
	balanced = 64
	single   = 16
)

// traffic is the stream from host A to host B.
type traffic struct {
	generator *stream.Generator
	meter     *stream.Meter
	cancel    context.CancelFunc
	done      chan error
	last      stream.Totals
	began     time.Time
}

func startTraffic(top *topology.Topology, rate int) (*traffic, error) {
	router, err := top.HardwareAddress(topology.LinkA.Port)
	if err != nil {
		return nil, err
	}
	t := &traffic{done: make(chan error, 1)}
	t.meter, err = stream.NewMeter(top.HostB, topology.LinkB1.HostInterface, topology.LinkB2.HostInterface)
	if err != nil {
		return nil, err
	}
	from4, from6 := topology.LinkA.Host4.Addr(), topology.LinkA.Host6.Addr()
	t.generator, err = stream.NewGenerator(stream.Config{
		Host: top.HostA, Interface: topology.LinkA.HostInterface, NextHop: router,
		V4: append(stream.Spread(from4, topology.Balanced4, balanced), stream.Spread(from4, topology.Single4, single)...),
		V6: append(stream.Spread(from6, topology.Balanced6, balanced), stream.Spread(from6, topology.Single6, single)...),
	})
	if err != nil {
		return nil, errors.Join(err, t.meter.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel, t.began = cancel, time.Now()
	go func() { t.done <- t.generator.Run(ctx, stream.Rate{V4: rate / 2, V6: rate - rate/2}) }()
	return t, nil
}

// settle bounds the wait for packets under way; in a sound network they take less than a millisecond.
const settle = time.Second

// now is the outcome of everything sent so far.
func (t *traffic) now(ctx context.Context) (stream.Totals, error) {
	sent, err := t.generator.Sent()
	if err != nil {
		return stream.Totals{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	return t.meter.Settle(ctx, sent)
}

// account returns what happened to the packets sent since the last call.
func (t *traffic) account(ctx context.Context) (stream.Totals, error) {
	now, err := t.now(ctx)
	since := difference(now, t.last)
	t.last = now
	return since, err
}

// difference takes an earlier outcome from a later one, in everything that adds up.
func difference(now, before stream.Totals) stream.Totals {
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

// flow waits until n more packets were sent.
func (t *traffic) flow(ctx context.Context, n uint64) error {
	var goal uint64
	return t.until(ctx, func() (bool, error) {
		sum, err := t.total()
		if goal == 0 {
			goal = sum + n
		}
		return sum >= goal, err
	})
}

// until waits for a condition, or for the stream's end, which is an error.
func (t *traffic) until(ctx context.Context, condition func() (bool, error)) error {
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

// singleByLink counts what arrived of the flows of the route that is moved.
func (t *traffic) singleByLink() (byLink [2]uint64, err error) {
	tallies, err := t.meter.Read(2 * (balanced + single))
	if err != nil {
		return byLink, err
	}
	for family := range 2 {
		first := family*(balanced+single) + balanced
		for _, tally := range tallies[first : first+single] {
			byLink[0] += tally.ByLink[0]
			byLink[1] += tally.ByLink[1]
		}
	}
	return byLink, nil
}

// shares counts, for each family, how many balanced flows each link carries.
func (t *traffic) shares() (flows [2][2]int, err error) {
	tallies, err := t.meter.Read(2 * (balanced + single))
	if err != nil {
		return flows, err
	}
	for family := range 2 {
		first := family * (balanced + single)
		for i, tally := range tallies[first : first+balanced] {
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

// stop ends the generation of packets.
func (t *traffic) stop() error {
	t.cancel()
	err := <-t.done
	t.done <- err // for whoever stops it again
	return err
}

// total is how many packets were sent.
func (t *traffic) total() (sum uint64, err error) {
	sent, err := t.generator.Sent()
	for _, n := range sent {
		sum += n
	}
	return sum, err
}

func (t *traffic) end() error {
	return errors.Join(t.stop(), t.generator.Close(), t.meter.Close())
}
