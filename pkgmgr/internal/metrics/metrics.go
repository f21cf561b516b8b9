// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package metrics shows the process tree to Prometheus. It reads the status table when it is asked and
// keeps nothing of its own.
package metrics

import (
	"net/http"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
	"github.com/ashlar-nos/ashlar/services/kit/meter"
)

// scrapeLimit bounds one request.
const scrapeLimit = 10 * time.Second

// Server answers GET /metrics. Calls are to be counted by RPC's interceptors.
type Server struct {
	*http.Server
	RPC *grpcprom.ServerMetrics
}

// New returns a server over the table of components.
func New(table *status.Table) *Server {
	registry := prometheus.NewRegistry()
	rpc := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram())
	registry.MustRegister(rpc, newCollector(table))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", meter.New(registry, time.Now()))
	return &Server{
		Server: &http.Server{Handler: mux, ReadTimeout: scrapeLimit, WriteTimeout: scrapeLimit, MaxHeaderBytes: 8 << 10},
		RPC:    rpc,
	}
}

// collector describes every component by its row in the table.
type collector struct {
	table                                   *status.Table
	ready, crashes, restarts, start, memory *prometheus.Desc
	token                                   *prometheus.Desc
}

func newCollector(table *status.Table) *collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("ashlar_supervisor_component_"+name, help, []string{"name", "version"}, nil)
	}
	return &collector{
		table:    table,
		ready:    desc("ready", "1 while the component's probe says that it does its work."),
		crashes:  desc("crashes_total", "Deaths that nobody asked for."),
		restarts: desc("restarts_total", "Starts after a death or by the operator."),
		start:    desc("ready_after_seconds", "Time from the start of this process to its readiness, 0 before."),
		memory:   desc("resident_bytes", "Resident set of the process."),
		token:    desc("fencing_token", "Fencing token of the process."),
	}
}

func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.ready, c.crashes, c.restarts, c.start, c.memory, c.token} {
		to <- d
	}
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	for _, row := range c.table.List() {
		send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
			to <- prometheus.MustNewConstMetric(d, kind, v, row.Name, row.Version)
		}
		send(c.ready, prometheus.GaugeValue, boolean(row.Phase == status.Ready))
		send(c.crashes, prometheus.CounterValue, float64(row.Crashes))
		send(c.restarts, prometheus.CounterValue, float64(row.Restarts))
		send(c.start, prometheus.GaugeValue, row.ReadyAfter.Seconds())
		send(c.token, prometheus.GaugeValue, float64(row.Token))
		if row.PID != 0 {
			send(c.memory, prometheus.GaugeValue, float64(process.Resident(row.PID)))
		}
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
