// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"sync/atomic"

	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// Usage is one limit of the tables.
type Usage struct {
	Name        string
	Used, Limit int
}

// Counters are totals since the maps were made.
type Counters struct {
	Reasons [tables.ReasonCount]uint64
	Usage   []Usage
	Audits  uint64 // finished since start
	Repairs uint64 // nodes, words and adjacencies mended by them since start
}

// Counters sums over CPUs. Counting goes on meanwhile.
func (e *Engine) Counters() Counters {
	var c Counters
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.memory.Counters {
		for r := range c.Reasons {
			c.Reasons[r] += atomic.LoadUint64(&e.memory.Counters[i].Reasons[r])
		}
	}
	rise(&c.Reasons[tables.ReasonForwarded], &e.told.forwarded)
	c.Usage = e.usage()
	c.Audits, c.Repairs = e.audits, e.repairs
	return c
}

// RouteCount is the number of programmed routes of both families.
func (e *Engine) RouteCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.v4.Len(fib.Programmed) + e.v6.Len(fib.Programmed)
}

// told is what was answered before. A frame that is lost counts as sent for the moment until the kernel says so;
// no counter may be seen to fall for that.
type told struct {
	forwarded uint64
	ports     [tables.MaxPorts]tables.PortCounters
}

// rise lifts a count to what was told of it before.
func rise(count, told *uint64) {
	*told = max(*told, *count)
	*count = *told
}

func (e *Engine) usage() []Usage {
	l := e.options.Limits
	lines, lineLimit, shadow, shadowLimit := e.space.Usage()
	return []Usage{
		{"routes-v4", e.v4.Len(fib.Programmed), l.RoutesV4},
		{"routes-v6", e.v6.Len(fib.Programmed), l.RoutesV6},
		{"groups", e.groups.free.count - len(e.hosts), l.Groups},
		{"hosts", len(e.hosts), l.Hosts},
		{"adjacencies", e.hops.adjacencies.count, tables.MaxAdjacencies - 1},
		{"next-hop-counters", e.hops.counters.count, tables.MaxNextHopCounters - 1},
		{"ports", len(e.ports), tables.MaxPorts - 1},
		{"lines", lines, lineLimit},
		{"shadow", shadow, shadowLimit},
	}
}

func (e *Engine) portCounters(slot int) tables.PortCounters {
	var s tables.PortCounters
	for i := range e.memory.Counters {
		p := &e.memory.Counters[i].Ports[slot]
		s.InPackets += atomic.LoadUint64(&p.InPackets)
		s.InBytes += atomic.LoadUint64(&p.InBytes)
		s.OutPackets += atomic.LoadUint64(&p.OutPackets)
		s.OutBytes += atomic.LoadUint64(&p.OutBytes)
		s.Forwarded += atomic.LoadUint64(&p.Forwarded)
		s.Punted += atomic.LoadUint64(&p.Punted)
		s.Dropped += atomic.LoadUint64(&p.Dropped)
		s.Lost += atomic.LoadUint64(&p.Lost)
	}
	before := &e.told.ports[slot]
	rise(&s.OutPackets, &before.OutPackets)
	rise(&s.OutBytes, &before.OutBytes)
	rise(&s.Forwarded, &before.Forwarded)
	return s
}

func (e *Engine) hopPackets(counter uint32) (packets, bytes uint64) {
	for i := range e.memory.Counters {
		h := &e.memory.Counters[i].NextHops[counter]
		packets += atomic.LoadUint64(&h.Packets)
		bytes += atomic.LoadUint64(&h.Bytes)
	}
	return packets, bytes
}

func limitPorts() error { return &fib.LimitError{Limit: "ports", Max: tables.MaxPorts - 1} }

// Describe is one line about the tables, for the log.
func (e *Engine) Describe() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return fmt.Sprintf("%d v4 and %d v6 routes, %d groups, %d ports, generation %d",
		e.v4.Len(fib.Programmed), e.v6.Len(fib.Programmed), e.groups.free.count, len(e.ports), e.sequence)
}
