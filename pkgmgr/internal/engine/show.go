// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
)

// Snapshot returns the state as it is, a channel that is closed when it changes, and what is proposed, which is nil
// when nothing is. The caller may keep and change all of it.
func (e *Engine) Snapshot() (*State, *plan.Plan, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state.clone(), e.proposedLocked(), e.changed
}

func (e *Engine) proposedLocked() *plan.Plan {
	if e.state.Pending == nil {
		return nil
	}
	target, err := e.pendingLocked()
	if err != nil {
		return nil
	}
	running, err := e.running(e.state.Running)
	if err != nil {
		return nil
	}
	p := plan.Make(running, target, e.cfg.Judge)
	return &p
}

// Current is the id of the operation under way, or of the newest; 0 when there was none.
func (e *Engine) Current() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.state.current(); o != nil {
		return o.ID
	}
	return e.state.LastID
}

// Follow calls each with every progress of an operation from its begin, in order, until the operation has ended, ctx
// ends, or each returns an error. Progress of an operation of long ago is its end.
func (e *Engine) Follow(ctx context.Context, id uint64, each func(*Operation, Progress) error) error {
	for at := 0; ; {
		o, next, changed, err := e.progress(id, at)
		if err != nil {
			return err
		}
		for _, p := range next {
			if err := each(o, p); err != nil {
				return err
			}
		}
		at += len(next)
		if o.Outcome != Running {
			return nil
		}
		if e.left() {
			return errLeaving
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (e *Engine) left() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.broken == errLeaving
}

func (e *Engine) progress(id uint64, at int) (*Operation, []Progress, <-chan struct{}, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.state.operation(id)
	if o == nil {
		return nil, nil, nil, sentence{"no such operation is remembered", ErrArgument}
	}
	o = o.clone()
	if len(o.Progress) == 0 {
		o.Progress = []Progress{{Time: o.Ended, Phase: phaseReversed, Message: o.Reason, Outcome: o.Outcome}}
		if o.Outcome == Succeeded {
			o.Progress[0].Phase = phaseApplied
		}
	}
	return o, o.Progress[min(at, len(o.Progress)):], e.changed, nil
}

// Broken says why nothing can be installed, nil when it can.
func (e *Engine) Broken() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.broken
}

// Touch tells who watches that the store has changed.
func (e *Engine) Touch() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tellLocked()
}
