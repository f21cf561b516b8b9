// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

var (
	descPackets   = prometheus.NewDesc("ashlar_dataplane_packets_total", "Packets by what became of them and why.", []string{"verdict", "reason"}, nil)
	descPort      = prometheus.NewDesc("ashlar_dataplane_port_packets_total", "Packets of a port.", []string{"port", "event"}, nil)
	descPortBytes = prometheus.NewDesc("ashlar_dataplane_port_bytes_total", "Bytes of a port, layer 2.", []string{"port", "direction"}, nil)
	descUsed      = prometheus.NewDesc("ashlar_dataplane_table_used", "Entries in use.", []string{"table"}, nil)
	descLimit     = prometheus.NewDesc("ashlar_dataplane_table_limit", "Entries that fit.", []string{"table"}, nil)
	descAudits    = prometheus.NewDesc("ashlar_dataplane_audits_total", "Audits finished since start.", nil, nil)
	descRepairs   = prometheus.NewDesc("ashlar_dataplane_repairs_total", "Entries mended by audits since start.", nil, nil)
	descPublished = prometheus.NewDesc("ashlar_dataplane_aft_routes", "Routes shown in telemetry; the rest of the table is read by ListRoutes.", nil, nil)
)

// Describe implements prometheus.Collector.
func (p *Publisher) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descPackets, descPort, descPortBytes, descUsed, descLimit, descAudits, descRepairs, descPublished} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (p *Publisher) Collect(c chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counters := p.engine.Counters()
	for r := tables.ReasonForwarded; r < tables.ReasonCount; r++ {
		verdict := "punted"
		switch {
		case r == tables.ReasonForwarded:
			verdict = "forwarded"
		case r.Dropped():
			verdict = "dropped"
		}
		counter(descPackets, counters.Reasons[r], verdict, r.String())
	}
	for _, u := range append(counters.Usage, p.extra()...) {
		gauge(descUsed, u.Used, u.Name)
		gauge(descLimit, u.Limit, u.Name)
	}
	for _, s := range p.engine.Ports() {
		counter(descPort, s.Counters.InPackets, s.Name, "in")
		counter(descPort, s.Counters.OutPackets, s.Name, "out")
		counter(descPort, s.Counters.Forwarded, s.Name, "forwarded")
		counter(descPort, s.Counters.Punted, s.Name, "punted")
		counter(descPort, s.Counters.Dropped, s.Name, "dropped")
		counter(descPort, s.Counters.Lost, s.Name, "lost")
		counter(descPortBytes, s.Counters.InBytes, s.Name, "in")
		counter(descPortBytes, s.Counters.OutBytes, s.Name, "out")
	}
	counter(descAudits, counters.Audits)
	counter(descRepairs, counters.Repairs)
	gauge(descPublished, int(p.published.Load()))
}
