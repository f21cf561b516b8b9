// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"
)

// capped are transport credentials that bound the connections, so that a flood costs the clients that are
// connected, and those that can prove who they are, nothing.
type capped struct {
	credentials.TransportCredentials
	crowd *crowd
	// proven tells whether a handshake proved who the peer is.
	proven func(credentials.AuthInfo) bool
}

func newCapped(inner credentials.TransportCredentials, l limits, proven func(credentials.AuthInfo) bool,
	registry prometheus.Registerer, log *slog.Logger) *capped {
	closed := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ashlar_gnmi_connections_refused_total", Help: "Connections closed because too many were open or the handshake failed.",
	})
	c := &capped{TransportCredentials: inner, crowd: newCrowd(l, log, closed), proven: proven}
	registry.MustRegister(closed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ashlar_gnmi_connections", Help: "Open connections.",
	}, c.crowd.size))
	return c
}

// ServerHandshake counts the connection from before the handshake until it is closed.
func (c *capped) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	g := c.crowd.enter(raw)
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err == nil && c.proven(info) && !c.crowd.prove(g) {
		err = fmt.Errorf("more than %d connections", c.crowd.limits.known)
	}
	if err != nil {
		c.crowd.leave(g)
		c.crowd.closed.Inc()
		return nil, nil, err
	}
	g.Conn = conn
	return g, info, nil
}

// Clone shares the count.
func (c *capped) Clone() credentials.TransportCredentials {
	clone := *c
	clone.TransportCredentials = c.TransportCredentials.Clone()
	return &clone
}
