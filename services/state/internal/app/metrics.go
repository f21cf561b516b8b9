// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ashlar-nos/ashlar/services/state/internal/store"
)

// collector shows the store's size and limits when it is scraped.
type collector struct {
	store                            *store.Store
	revision, compacted, size, quota *prometheus.Desc
	rows, watches, stalls            *prometheus.Desc
}

const scrapeTimeout = 2 * time.Second

func newCollector(s *store.Store) *collector {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("ashlar_state_"+name, help, labels, nil)
	}
	return &collector{
		store:     s,
		revision:  d("revision", "Newest revision of the store."),
		compacted: d("compacted_revision", "Oldest revision whose history is kept."),
		size:      d("database_bytes", "Size of the database file."),
		quota:     d("database_limit_bytes", "Size past which rows can only be deleted."),
		rows:      d("table_rows", "Rows of a table.", "table", "writer"),
		watches:   d("watches", "Watches that are open."),
		stalls:    d("watch_stalls_total", "Times a watch was read again from disk because its reader stalled."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.revision, c.compacted, c.size, c.quota, c.rows, c.watches, c.stalls} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	st, err := c.store.Status(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.revision, err)
		return
	}
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	gauge(c.revision, st.Revision)
	gauge(c.compacted, st.Compacted)
	gauge(c.size, st.DatabaseBytes)
	gauge(c.quota, st.QuotaBytes)
	gauge(c.watches, st.Watches)
	ch <- prometheus.MustNewConstMetric(c.stalls, prometheus.CounterValue, float64(st.Stalls))
	for _, t := range st.Tables {
		gauge(c.rows, t.Rows, t.Name, t.Writer)
	}
}
