// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// desk is one grpc.Server in the life of a Front: it accepts until it is closed, and is empty once the last call on
// its connections has ended. It is not opened again.
type desk struct {
	server *grpc.Server
	gate   *gate
	guests *guests
	// quiet is closed when nobody begins a call any more, empty when all connections are gone.
	quiet, empty chan struct{}
	ended        context.Context
	stopWaiting  context.CancelFunc
}

func newDesk(creds credentials.TransportCredentials, l net.Listener, options []grpc.ServerOption) *desk {
	d := &desk{guests: newGuests(creds), quiet: make(chan struct{}), empty: make(chan struct{})}
	d.ended, d.stopWaiting = context.WithCancel(context.Background())
	d.gate = newGate(l, d.guests.enter)
	d.server = grpc.NewServer(append(options, grpc.Creds(d.guests))...)
	return d
}

// close sends everybody away, politely: first no connection is on its way here, then each one is known, then all are
// told, and those who have understood go by themselves. It is called once.
func (d *desk) close(silence, patience time.Duration) {
	if err := d.gate.stop(); err == nil {
		select {
		case <-d.gate.parked:
		case <-d.ended.Done():
		}
	}
	_ = d.guests.until(d.ended, d.guests.seated, nothing)
	d.within(silence, d.guests.known)
	d.guests.dismiss()
	go func() {
		d.server.GracefulStop()
		close(d.empty)
	}()
	d.within(patience, d.guests.gone)
	close(d.quiet)
}

// within waits for a condition, not longer than limit.
func (d *desk) within(limit time.Duration, holds func() bool) {
	ctx, cancel := context.WithTimeout(d.ended, limit)
	defer cancel()
	_ = d.guests.until(ctx, holds, nothing)
}

func (d *desk) isEmpty() bool {
	select {
	case <-d.empty:
		return true
	default:
		return false
	}
}

// stop closes what is left.
func (d *desk) stop() {
	d.stopWaiting()
	d.server.Stop()
}
