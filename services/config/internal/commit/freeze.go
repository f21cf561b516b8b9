// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"fmt"

	"github.com/ashlar-nos/ashlar/services/config/internal/store"
	"github.com/ashlar-nos/ashlar/services/kit/retry"
)

// term is one stretch of time in which this engine leads: from a load until it is frozen or ends.
type term struct {
	// loaded is closed when owners may attach.
	loaded chan struct{}
	life   context.Context
	end    context.CancelFunc
}

func newTerm(engine context.Context) *term {
	t := &term{loaded: make(chan struct{})}
	t.life, t.end = context.WithCancel(engine)
	return t
}

// Freeze lets the transaction under way end, keeps those that come later waiting, clears the pending mark and sends the
// owners and observers away. Until Unfreeze this engine writes nothing; it publishes what its successor decides. When
// ctx ends before nothing is under way, everything is as it was. Freezing twice changes nothing.
func (e *Engine) Freeze(ctx context.Context) error {
	if e.Frozen() {
		return nil
	}
	release, err := e.turn.take(ctx, stageFrozen)
	if err != nil {
		return fmt.Errorf("a change is still under way: %s: %w", e.turn.stage(), err)
	}
	// The store must not be left in the middle of a transaction, so clearing ends when it ends.
	cleared := make(chan error, 1)
	go func() { cleared <- e.clear(e.life) }()
	select {
	case err = <-cleared:
	case <-ctx.Done():
		go func() { <-cleared; release() }()
		return fmt.Errorf("the pending mark still stands: %w", ctx.Err())
	}
	if err != nil {
		release()
		return fmt.Errorf("the pending mark still stands: %w", err)
	}
	e.idle.Stop()
	e.term.Swap(newTerm(e.life)).end()
	e.follow(release)
	return nil
}

// follow is what a frozen engine does: it publishes what its successor decides.
func (e *Engine) follow(release func()) {
	ctx, cancel := context.WithCancel(e.life)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.trail(ctx)
	}()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.thaw = func() (turn func()) {
		cancel()
		<-ended
		return release
	}
}

// Frozen reports whether the engine is frozen.
func (e *Engine) Frozen() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.thaw != nil
}

// Unfreeze takes a freeze back. It does not wait until the engine leads again: that is when it has loaded what a
// successor may have left in the store, and finished what that one had begun. Transactions and owners wait meanwhile.
func (e *Engine) Unfreeze() {
	e.mu.Lock()
	thaw := e.thaw
	e.thaw = nil
	e.mu.Unlock()
	if thaw == nil {
		return
	}
	e.resuming.Store(true)
	go func() {
		release := thaw()
		defer release()
		defer e.resuming.Store(false)
		e.resume()
	}()
}

// resume leads again. The caller has the turn.
func (e *Engine) resume() {
	e.setProblem(fmt.Errorf("%w: the store is being loaded again", ErrNotReady))
	if err := e.start(e.life); err != nil {
		e.fail(err)
		return
	}
	e.setProblem(nil)
}

// trail publishes what another process decides, until ctx ends.
func (e *Engine) trail(ctx context.Context) {
	_ = retry.Forever(ctx, e.Log, "follow the configuration in the store", func(ctx context.Context) error {
		return e.Store.Follow(ctx, func(contents store.Contents) error {
			now, err := build(e.Model, contents.Objects)
			if err == nil && ctx.Err() == nil {
				e.Publish(now)
			}
			return err
		})
	})
}
