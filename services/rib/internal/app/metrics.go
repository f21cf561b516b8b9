// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

// metrics reads the table's numbers when Prometheus asks.
type metrics struct {
	app *App

	prefixes, paths, sets                       *prometheus.Desc
	queued, inFlight, refused, synced, awaited  *prometheus.Desc
	batches, routes, groups, failures, sessions *prometheus.Desc
}

func newMetrics(a *App) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("ashlar_rib_"+name, help, labels, nil)
	}
	return &metrics{
		app:      a,
		prefixes: desc("prefixes", "Prefixes in the routing table.", "family"),
		paths:    desc("paths", "Paths in the routing table.", "protocol"),
		sets:     desc("next_hop_sets", "Distinct sets of next hops."),
		queued:   desc("dataplane_queue", "Prefixes and groups that wait to be sent to the dataplane."),
		inFlight: desc("dataplane_batches_in_flight", "Batches that wait for the dataplane's acknowledgement."),
		refused:  desc("dataplane_refused_prefixes", "Prefixes that the dataplane refused; they are tried again."),
		synced:   desc("dataplane_synced", "1 when the dataplane has exactly the routes of this table."),
		awaited:  desc("awaited_producers", "Producers of an earlier run that have not synchronised; until then the dataplane sweeps nothing."),
		batches:  desc("dataplane_batches_total", "Batches sent to the dataplane."),
		routes:   desc("dataplane_routes_total", "Routes and withdrawals sent to the dataplane."),
		groups:   desc("dataplane_groups_total", "Next-hop groups sent to the dataplane."),
		failures: desc("dataplane_failures_total", "Batches that the dataplane refused."),
		sessions: desc("dataplane_sessions_total", "Sessions with the dataplane."),
	}
}

// newCommitTime is how long commits of static routes take, until the dataplane has acknowledged them.
func newCommitTime() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "ashlar_rib_commit_seconds",
		Help:    "Time of a commit of static routes, until the dataplane acknowledged them.",
		Buckets: prometheus.ExponentialBuckets(100e-6, 2, 16),
	})
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(c chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, c) }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(c chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	m.app.rib.View(func(t *table.Table) {
		_, _, sets := t.Size()
		gauge(m.prefixes, t.Size4(), "ipv4")
		gauge(m.prefixes, t.Size6(), "ipv6")
		gauge(m.sets, sets)
		for s := range t.Sources() {
			gauge(m.paths, s.Paths(), s.Name())
		}
		o := t.Outbox()
		gauge(m.queued, o.Queued())
		gauge(m.inFlight, o.InFlight())
		gauge(m.refused, o.Refused())
		stats := o.Stats()
		counter(m.batches, stats.Batches)
		counter(m.routes, stats.Routes)
		counter(m.groups, stats.Groups)
		counter(m.failures, stats.Failures)
	})
	gauge(m.awaited, len(m.app.producers.Awaited()))
	synced := 0
	if m.app.rib.Session().Synced {
		synced = 1
	}
	gauge(m.synced, synced)
	counter(m.sessions, m.app.program.Sessions())
}
