// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"sync"

	"google.golang.org/grpc"
)

// inFlight counts the unary calls that are being answered, so that a drain can let them end.
type inFlight struct {
	mu    sync.Mutex
	count int
	idle  chan struct{}
}

func newInFlight() *inFlight { return &inFlight{} }

// none returns a channel that is closed once no call is in flight.
func (f *inFlight) none() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	done := make(chan struct{})
	if f.count == 0 {
		close(done)
		return done
	}
	f.idle = done
	return done
}

func (f *inFlight) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count += n; f.count == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

func (f *inFlight) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	f.add(1)
	defer f.add(-1)
	return next(ctx, req)
}
