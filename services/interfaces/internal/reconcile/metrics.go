// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the reconciler does.
type Metrics struct {
	repairs   *prometheus.CounterVec
	failures  *prometheus.CounterVec
	overflows prometheus.Counter
}

// NewMetrics registers the counters.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ashlar_interfaces_repairs_total",
			Help: "Changes by others to configured interfaces that were put right, by subject.",
		}, []string{"interface", "subject"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ashlar_interfaces_failures_total",
			Help: "Times an interface could not be made as configured.",
		}, []string{"interface"}),
		overflows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ashlar_interfaces_event_overflows_total",
			Help: "Times the kernel's events were lost and everything was read again.",
		}),
	}
	reg.MustRegister(m.repairs, m.failures, m.overflows)
	return m
}
