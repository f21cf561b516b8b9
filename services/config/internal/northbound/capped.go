// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"
)

// capped are transport credentials that bound the connections: one too many is closed at once, so that a
// flood costs the clients that are connected nothing.
type capped struct {
	credentials.TransportCredentials
	limit   int64
	open    *atomic.Int64
	refused prometheus.Counter
}

func newCapped(inner credentials.TransportCredentials, limit int64, registry prometheus.Registerer) *capped {
	c := &capped{
		TransportCredentials: inner, limit: limit, open: &atomic.Int64{},
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ashlar_gnmi_connections_refused_total", Help: "Connections closed because too many were open or the handshake failed.",
		}),
	}
	registry.MustRegister(c.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ashlar_gnmi_connections", Help: "Open connections.",
	}, func() float64 { return float64(c.open.Load()) }))
	return c
}

// ServerHandshake counts the connection from before the handshake until it is closed.
func (c *capped) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.open.Add(1) > c.limit {
		c.open.Add(-1)
		c.refused.Inc()
		return nil, nil, fmt.Errorf("more than %d connections", c.limit)
	}
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		c.open.Add(-1)
		c.refused.Inc()
		return nil, nil, err
	}
	return &counted{Conn: conn, leave: sync.OnceFunc(func() { c.open.Add(-1) })}, info, nil
}

// Clone shares the count.
func (c *capped) Clone() credentials.TransportCredentials {
	clone := *c
	clone.TransportCredentials = c.TransportCredentials.Clone()
	return &clone
}

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}
