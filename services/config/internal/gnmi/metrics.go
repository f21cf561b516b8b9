// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what subscribers get. Calls and their times are counted by the gRPC server.
type Metrics struct {
	subscribers prometheus.Gauge
	updates     prometheus.Counter
	coalesced   prometheus.Counter
	slow        prometheus.Counter
}

// NewMetrics registers the metrics of one server.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		subscribers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ashlar_gnmi_subscribers", Help: "Open Subscribe calls.",
		}),
		updates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ashlar_gnmi_updates_total", Help: "Leaf values sent to subscribers.",
		}),
		coalesced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ashlar_gnmi_coalesced_total", Help: "Leaf values that a newer one replaced before a slow subscriber took them.",
		}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ashlar_gnmi_slow_subscribers_total", Help: "Subscribers that were ended because their queue reached its limit.",
		}),
	}
	registry.MustRegister(m.subscribers, m.updates, m.coalesced, m.slow)
	return m
}
