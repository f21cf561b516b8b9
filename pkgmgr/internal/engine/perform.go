// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxResumed is how many processes may go on with one operation before it is taken back: what ends the package
// manager each time must not do so for ever.
const maxResumed = 5

// errAbort: an operator wants the operation back.
var errAbort = errors.New("aborted")

// perform brings an operation to its end, or leaves it to the next process when ctx ends.
func (e *Engine) perform(parent context.Context, o *Operation) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	e.mu.Lock()
	e.stop, e.finishing = cancel, false
	if e.abort != nil {
		cancel(e.abort)
	}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.stop, e.abort = nil, nil
		e.mu.Unlock()
	}()
	if len(o.Progress) > 1 && !o.Back { // somebody began it before
		e.note(Record{Kind: recordResume, Operation: o.ID, Step: o.At, Message: "a new package manager goes on"})
		o.Resumed++
	}
	if !o.Back {
		err := e.forward(ctx, parent, o)
		switch {
		case parent.Err() != nil:
			return
		case err == nil:
			e.end(o, Succeeded, "")
			return
		}
		e.turnBack(ctx, o, err)
	}
	e.backward(parent, o)
}

// failure is why a phase did not come about.
type failure struct {
	phase phase
	step  Step
	err   error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// forward does all that is not done yet. Its end cannot be aborted, only left to the next process.
func (e *Engine) forward(ctx, parent context.Context, o *Operation) error {
	if o.Resumed > maxResumed {
		return fmt.Errorf("%d package managers ended while they went on with it", o.Resumed)
	}
	for i := o.At; i < len(o.Steps); i++ {
		w := &work{op: o, index: i, step: o.Steps[i]}
		if err := e.run(ctx, w, stepPhases()); err != nil {
			w.endWatch()
			return err
		}
		w.endWatch()
	}
	e.mu.Lock()
	e.finishing = ctx.Err() == nil
	e.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return e.run(parent, &work{op: o, index: len(o.Steps)}, lastPhases(o))
}

// run does a list of phases but for those that the operation has done.
func (e *Engine) run(ctx context.Context, w *work, phases []phase) error {
	for _, p := range phases {
		if w.op.At == w.index && w.op.done(p.name) {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := e.runPhase(ctx, w, p); err != nil {
			return &failure{phase: p, step: w.step, err: err}
		}
		if w.op.At != w.index {
			w.op.At, w.op.Done = w.index, nil
		}
		w.op.Done = append(w.op.Done, p.name)
	}
	return nil
}

func (e *Engine) runPhase(ctx context.Context, w *work, p phase) error {
	done := Record{Kind: recordDone, Operation: w.op.ID, Step: w.index, Phase: p.name}
	if p.intent != nil {
		if err := e.write(Record{Kind: recordIntent, Operation: w.op.ID, Step: w.index, Phase: p.name, Message: p.intent(w)}); err != nil {
			return err
		}
	}
	came := false
	if p.probe != nil && w.op.Resumed > 0 {
		var err error
		if came, err = p.probe(ctx, e, w); err != nil {
			return err
		}
		done.Message = w.name() + " runs"
	}
	if !came {
		if err := p.do(ctx, e, w, &done); err != nil {
			return err
		}
	}
	if ctx.Err() != nil && p.name != phaseCutover {
		return context.Cause(ctx)
	}
	return e.write(done)
}

// turnBack records that the operation is taken back, and why.
func (e *Engine) turnBack(ctx context.Context, o *Operation, err error) {
	var f *failure
	errors.As(err, &f)
	o.Back, o.Ending, o.Reason = true, Reversed, err.Error()
	if cause := context.Cause(ctx); errors.Is(cause, errAbort) {
		o.Ending, o.Reason = Aborted, cause.Error()
	} else if f != nil && f.phase.fault && f.step.To != "" {
		e.note(Record{Kind: recordQuarantine, Digest: f.step.To, Message: o.Reason})
	}
	e.cfg.Log.Warn("going back", "operation", o.ID, "reason", o.Reason)
	e.note(Record{Kind: recordBack, Operation: o.ID, Step: min(o.At, len(o.Steps)), Phase: phaseReversing, Outcome: o.Ending, Message: o.Reason})
}

// backLimit bounds the attempts to go back; after it the operation has failed and an operator must look.
const backLimit = 90 * time.Second

// backward takes back every step that was begun, the last one first.
func (e *Engine) backward(ctx context.Context, o *Operation) {
	for i := min(o.At, len(o.Steps)-1); i >= 0; i-- {
		w := &work{op: o, index: i, step: o.Steps[i]}
		if err := e.undo(ctx, w); err != nil {
			if ctx.Err() == nil {
				e.end(o, Failed, fmt.Sprintf("%s; the way back to %s %s failed too: %v; `ashlar show components` says what runs, a reboot starts the committed generation",
					o.Reason, w.step.Component, w.step.FromVersion, words(err)))
			}
			return
		}
		message := fmt.Sprintf("%s %s runs again", w.step.Component, w.step.FromVersion)
		if w.step.From == "" {
			message = w.step.Component + " is gone again"
		}
		e.note(Record{Kind: recordUndone, Operation: o.ID, Step: i, Phase: phaseReversing, Message: message})
	}
	e.end(o, o.Ending, o.Reason)
}

// undo takes one step back, phase by phase from the last, again and again until it is so.
func (e *Engine) undo(ctx context.Context, w *work) error {
	limit, cancel := context.WithTimeout(ctx, backLimit)
	defer cancel()
	for wait := pollInterval; ; wait = min(2*wait, time.Second) {
		err := e.undoOnce(limit, w)
		if err == nil || ctx.Err() != nil {
			return err
		}
		e.cfg.Log.Warn("a step back did not succeed, trying again", "component", w.step.Component, "error", err)
		if pause(limit, wait) != nil {
			return err
		}
	}
}

func (e *Engine) undoOnce(ctx context.Context, w *work) error {
	phases := stepPhases()
	for i := len(phases) - 1; i >= 0; i-- {
		if undo := phases[i].undo; undo != nil {
			if err := undo(ctx, e, w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Engine) end(o *Operation, outcome Outcome, reason string) {
	phase := phaseReversed
	if outcome == Succeeded {
		phase = phaseOf(e.operationNow(o.ID))
	}
	e.note(Record{Kind: recordEnd, Operation: o.ID, Step: len(o.Steps), Phase: phase, Outcome: outcome, Message: reason})
	e.cfg.Log.Info("operation ended", "operation", o.ID, "kind", o.Kind, "outcome", outcome, "reason", reason)
}

func (e *Engine) operationNow(id uint64) *Operation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state.operation(id).clone()
}

// tell passes on progress that no record holds.
func (e *Engine) tell(w *work, phase, message string, gates []Reading) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.state.operation(w.op.ID)
	o.Progress = append(o.Progress, Progress{
		Time: e.cfg.Clock.Now(), Component: w.step.Component, Phase: phase, Message: message, Step: w.index + 1, Gates: gates, Outcome: Running,
	})
	e.tellLocked()
}
