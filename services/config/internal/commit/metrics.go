// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what transactions come to.
type Metrics struct {
	results  *prometheus.CounterVec
	phases   *prometheus.HistogramVec
	revision prometheus.Gauge
	alarms   *prometheus.CounterVec
}

// NewMetrics registers the metrics of one engine.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ashlar_config_transactions_total", Help: "Transactions by result: committed, unchanged, refused, reversed, failed.",
		}, []string{"result"}),
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ashlar_config_phase_seconds", Help: "Time of each phase of a transaction.",
			Buckets: []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 1, 5},
		}, []string{"phase"}),
		revision: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ashlar_config_revision", Help: "Newest revision of the configuration.",
		}),
		alarms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ashlar_config_alarms_total", Help: "Reversals that an owner could not put into effect.",
		}, []string{"owner"}),
	}
	registry.MustRegister(m.results, m.phases, m.revision, m.alarms)
	return m
}

// time measures a phase until the returned function is called.
func (m *Metrics) time(phase string) func() {
	timer := prometheus.NewTimer(m.phases.WithLabelValues(phase))
	return func() { timer.ObserveDuration() }
}
