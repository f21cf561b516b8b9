// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package health talks to one process over its own socket: how it is, what it would write, and that it shall make
// room for a successor. From the answers it judges whether the process is alive.
package health

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
)

// Client calls ashlar.lifecycle.v1 of one process. It is safe for concurrent use.
type Client struct {
	conn *grpc.ClientConn
	rpc  lifecyclev1.LifecycleClient
}

// Readiness is a component's own word on its work.
type Readiness struct {
	Ready bool
	// Reason says what is missing.
	Reason string
}

// Dial returns a client for a unix socket. It does not connect yet. Each process gets a client of its
// own: a connection belongs to the process that accepted it.
func Dial(socket string) (*Client, error) {
	conn, err := grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 250 * time.Millisecond},
			MinConnectTimeout: time.Minute,
		}))
	if err != nil {
		return nil, fmt.Errorf("health of %s: %w", socket, err)
	}
	return &Client{conn: conn, rpc: lifecyclev1.NewLifecycleClient(conn)}, nil
}

// Activate gives the process its fencing token.
func (c *Client) Activate(ctx context.Context, token uint64) error {
	_, err := c.rpc.Activate(ctx, &lifecyclev1.ActivateRequest{FencingToken: token}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("activate with token %d: %w", token, err)
	}
	return nil
}

// Health asks once. Any answer means that the process is alive.
func (c *Client) Health(ctx context.Context) (Readiness, error) {
	r, err := c.rpc.Health(ctx, &lifecyclev1.HealthRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return Readiness{}, fmt.Errorf("health: %w", err)
	}
	return Readiness{Ready: r.GetReady(), Reason: r.GetReason()}, nil
}

// Drain asks the process to finish and end within limit.
func (c *Client) Drain(ctx context.Context, limit time.Duration) error {
	_, err := c.rpc.Drain(ctx, &lifecyclev1.DrainRequest{LimitMs: uint32(limit.Milliseconds())}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// Close ends calls in flight.
func (c *Client) Close() { c.conn.Close() }
