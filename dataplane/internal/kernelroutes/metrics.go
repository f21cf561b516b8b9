// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kernelroutes

import "github.com/prometheus/client_golang/prometheus"

var (
	descRepaired = prometheus.NewDesc("ashlar_dataplane_kernel_routes_repaired_total", "Routes that somebody removed from the kernel and that were put back, since start.", nil, nil)
	descShadowed = prometheus.NewDesc("ashlar_dataplane_kernel_routes_shadowed", "Routes in the kernel that one of somebody else comes before.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m *Mirror) Describe(c chan<- *prometheus.Desc) {
	c <- descRepaired
	c <- descShadowed
}

// Collect implements prometheus.Collector.
func (m *Mirror) Collect(c chan<- prometheus.Metric) {
	c <- prometheus.MustNewConstMetric(descRepaired, prometheus.CounterValue, float64(m.repaired.Load()))
	c <- prometheus.MustNewConstMetric(descShadowed, prometheus.GaugeValue, float64(m.shadowed.Load()))
}
