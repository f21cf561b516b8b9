// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/cilium/ebpf/link"
)

// Meter counts the streams that arrive at a host, and drops them. It is safe for concurrent use.
type Meter struct {
	objects meterObjects
	links   []link.Link
}

// NewMeter puts the meter on interfaces of one host. They keep their place in Tally.ByLink. Everything
// that is no stream passes. Close takes it off.
func NewMeter(host *netns.Namespace, interfaces ...string) (*Meter, error) {
	if len(interfaces) > maxLinks {
		return nil, fmt.Errorf("a meter has at most %d links, not %d", maxLinks, len(interfaces))
	}
	m := &Meter{}
	err := host.Do(func() error { return m.attach(interfaces) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("meter: %w", err), m.Close())
	}
	return m, nil
}

func (m *Meter) attach(interfaces []string) error {
	var taps [maxLinks]meterTap
	for i, name := range interfaces {
		found, err := net.InterfaceByName(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		taps[i] = meterTap{Index: uint32(found.Index), Address: [6]uint8(found.HardwareAddr)}
	}
	spec, err := loadMeter()
	if err != nil {
		return err
	}
	if err := spec.Variables[meterVarTaps].Set(taps); err != nil {
		return err
	}
	if err := spec.LoadAndAssign(&m.objects, nil); err != nil {
		return err
	}
	for i, name := range interfaces {
		attached, err := link.AttachXDP(link.XDPOptions{
			Program:   m.objects.Measure,
			Interface: int(taps[i].Index),
			Flags:     link.XDPDriverMode,
		})
		if err != nil {
			return fmt.Errorf("attach to %s: %w", name, err)
		}
		m.links = append(m.links, attached)
	}
	return nil
}

// Read returns the tallies of the first n flows.
func (m *Meter) Read(n int) ([]Tally, error) {
	tallies := make([]Tally, n)
	for id := range tallies {
		var raw meterTally
		if err := m.objects.Tallies.Lookup(uint32(id), &raw); err != nil {
			return nil, err
		}
		tallies[id] = raw.tally()
	}
	return tallies, nil
}

func (raw *meterTally) tally() Tally {
	t := Tally{
		Received: raw.Received, ByLink: raw.ByLink,
		Reordered: raw.Reordered, Duplicated: raw.Duplicated, Stale: raw.Stale, Damaged: raw.Damaged,
		Latency: time.Duration(raw.LatencyNs), LongestLatency: time.Duration(raw.LatencyMaxNs),
		LongestSilence: time.Duration(raw.SilenceMaxNs),
	}
	if raw.Expected > 0 {
		t.Highest = raw.Expected - 1
	}
	return t
}

// look is how often Settle reads; the tallies are changed by the kernel, which tells nobody.
const look = time.Millisecond

// Settle waits until every flow has brought all that was sent of it, or ctx ends, and returns the
// outcome of exactly those packets as far as they can be told apart: while the stream goes on, what
// arrived beyond them makes up for nothing.
func (m *Meter) Settle(ctx context.Context, sent []uint64) (Totals, error) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		tallies, err := m.Read(len(sent))
		if err != nil {
			return Totals{}, err
		}
		if complete(sent, tallies) || ctx.Err() != nil {
			return Compare(atMost(sent, tallies), tallies), nil
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// complete: the last sequence of every flow has arrived, and so have all before it.
func complete(sent []uint64, tallies []Tally) bool {
	for i, n := range sent {
		if tallies[i].Highest < n || tallies[i].Unique() < tallies[i].Highest {
			return false
		}
	}
	return true
}

// atMost is what must have been sent for the tallies to be as they are: the stream may have gone on.
func atMost(sent []uint64, tallies []Tally) []uint64 {
	known := make([]uint64, len(sent))
	for i, n := range sent {
		known[i] = max(n, tallies[i].Highest)
	}
	return known
}

// Close takes the meter off its links.
func (m *Meter) Close() (err error) {
	for _, attached := range m.links {
		err = errors.Join(err, attached.Close())
	}
	if m.objects.Measure != nil {
		err = errors.Join(err, m.objects.Close())
	}
	return err
}
