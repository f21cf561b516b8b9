// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// maxWaiting bounds the transactions that wait.
const maxWaiting = 1024

// turn lets one transaction run at a time, first come first served.
type turn struct {
	gate    *semaphore.Weighted
	waiting atomic.Int64
}

func newTurn() *turn { return &turn{gate: semaphore.NewWeighted(1)} }

// take waits for the turn. release may be called more than once.
func (t *turn) take(ctx context.Context) (release func(), err error) {
	if t.waiting.Add(1) > maxWaiting {
		t.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer t.waiting.Add(-1)
	if err := t.gate.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { t.gate.Release(1) }), nil
}
