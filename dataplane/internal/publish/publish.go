// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package publish shows the forwarding engine to gNMI and Prometheus: counters once a second, the
// forwarding table when it changes. What it publishes is bounded, however large the table.
package publish

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// Sink takes state paths, as the kit's telemetry publisher does.
type Sink interface {
	Publish(at time.Time, updates map[string]any, deletes ...string)
	ReplaceSubtree(at time.Time, root string, updates map[string]any)
}

const (
	countersEvery = time.Second
	// routeLimit bounds the routes in telemetry; the whole table is read by the contract's ListRoutes.
	routeLimit = 10_000
	// tableRest lies between two publications of the table.
	tableRest = time.Second
)

// Publisher publishes.
type Publisher struct {
	engine  *engine.Engine
	sink    Sink
	program string
	adopted bool
	extra   func() []engine.Usage
	log     *slog.Logger

	published atomic.Int64
}

// New makes a publisher; extra gives limits that others than the engine keep.
func New(e *engine.Engine, sink Sink, program [32]byte, adopted bool, extra func() []engine.Usage, log *slog.Logger) *Publisher {
	return &Publisher{engine: e, sink: sink, program: hex.EncodeToString(program[:]), adopted: adopted, extra: extra, log: log}
}

// Run publishes until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	changed := p.engine.Watch()
	counters := time.NewTicker(countersEvery)
	defer counters.Stop()
	table := time.NewTimer(0)
	defer table.Stop()
	waiting := true // the timer runs
	dirty := true
	p.counters(time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-counters.C:
			p.counters(now)
		case <-changed:
			if dirty = true; !waiting {
				table.Reset(0)
				waiting = true
			}
		case now := <-table.C:
			if waiting = dirty; dirty {
				p.table(now)
				dirty = false
				table.Reset(tableRest)
			}
		}
	}
}

// counters publishes what counts.
func (p *Publisher) counters(at time.Time) {
	u := map[string]any{"/dataplane/state/program": p.program, "/dataplane/state/adopted": p.adopted}
	c := p.engine.Counters()
	u["/dataplane/state/forwarded-pkts"] = c.Reasons[tables.ReasonForwarded]
	u["/dataplane/state/audits"], u["/dataplane/state/repairs"] = c.Audits, c.Repairs
	for r := tables.ReasonForwarded + 1; r < tables.ReasonCount; r++ {
		at := fmt.Sprintf("/dataplane/punts/punt[reason=%s]/state/", r)
		if r.Dropped() {
			at = fmt.Sprintf("/dataplane/drops/drop[reason=%s]/state/", r)
		}
		u[at+"reason"], u[at+"packets"] = r.String(), c.Reasons[r]
	}
	for _, t := range append(c.Usage, p.extra()...) {
		at := fmt.Sprintf("/dataplane/tables/table[name=%s]/state/", t.Name)
		u[at+"name"], u[at+"used"], u[at+"limit"] = t.Name, uint64(t.Used), uint64(t.Limit)
	}
	ports := map[string]any{}
	for _, s := range p.engine.Ports() {
		port(ports, s)
		if s.Link.Index != 0 {
			p.link(u, s)
		}
	}
	p.sink.Publish(at, u)
	p.sink.ReplaceSubtree(at, "/dataplane/ports", ports)
}

func port(u map[string]any, s engine.PortStatus) {
	at := fmt.Sprintf("/dataplane/ports/port[name=%s]/state/", s.Name)
	u[at+"name"], u[at+"attached"], u[at+"up"] = s.Name, s.Attached, s.Link.Up
	if s.Reason != "" {
		u[at+"reason"] = s.Reason
	}
	for leaf, v := range map[string]uint64{
		"in-pkts": s.Counters.InPackets, "in-octets": s.Counters.InBytes,
		"out-pkts": s.Counters.OutPackets, "out-octets": s.Counters.OutBytes,
		"forwarded-pkts": s.Counters.Forwarded, "punted-pkts": s.Counters.Punted, "dropped-pkts": s.Counters.Dropped,
		"lost-pkts": s.Counters.Lost,
	} {
		u[at+"counters/"+leaf] = v
	}
}

// link publishes the counters of the interface as a whole. The driver counts what the kernel sends too, but
// not every driver counts what XDP does: the larger of both is nearer the truth, and never goes backwards.
func (p *Publisher) link(u map[string]any, s engine.PortStatus) {
	var driver netlink.LinkStatistics
	l, err := netlink.LinkByIndex(int(s.Link.Index))
	if err == nil && l.Attrs().Statistics != nil {
		driver = *l.Attrs().Statistics
	}
	at := fmt.Sprintf("/interfaces/interface[name=%s]/state/counters/", s.Name)
	for leaf, v := range map[string]uint64{
		"in-pkts":      max(driver.RxPackets, s.Counters.InPackets),
		"in-octets":    max(driver.RxBytes, s.Counters.InBytes),
		"in-errors":    driver.RxErrors,
		"in-discards":  max(driver.RxDropped, s.Counters.Dropped),
		"out-pkts":     max(driver.TxPackets, s.Counters.OutPackets),
		"out-octets":   max(driver.TxBytes, s.Counters.OutBytes),
		"out-errors":   driver.TxErrors,
		"out-discards": max(driver.TxDropped, s.Counters.Lost),
	} {
		u[at+leaf] = v
	}
}
