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

// stage is what the holder of the turn waits for, in words for those who wait with it.
type stage string

const (
	stageLoading   stage = "the configuration is being loaded"
	stageChecking  stage = "a change is being checked"
	stageDeclaring stage = "an owner attaches"
	stagePreparing stage = "the owners of a change have not all answered"
	stageStoring   stage = "the state store does not answer"
	stageApplying  stage = "the owners of a change have not all put it into effect"
	stageReversing stage = "a change is being taken back"
	stageEnding    stage = "the service is shutting down"
	stageFrozen    stage = "the service is being replaced"
)

// turn lets one transaction run at a time, first come first served.
type turn struct {
	gate    *semaphore.Weighted
	waiting atomic.Int64
	now     atomic.Value
}

func newTurn() *turn { return &turn{gate: semaphore.NewWeighted(1)} }

// enter says what the holder of the turn waits for from now on.
func (t *turn) enter(s stage) { t.now.Store(s) }

// stage is what the holder of the turn waits for.
func (t *turn) stage() stage {
	s, _ := t.now.Load().(stage)
	return s
}

// take waits for the turn. release may be called more than once.
func (t *turn) take(ctx context.Context, s stage) (release func(), err error) {
	if t.waiting.Add(1) > maxWaiting {
		t.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer t.waiting.Add(-1)
	if err := t.gate.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	t.enter(s)
	return sync.OnceFunc(func() { t.gate.Release(1) }), nil
}
