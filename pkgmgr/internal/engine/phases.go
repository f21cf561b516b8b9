// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generations"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// The phases, as ashlar.pkg.v1.Progress names them.
const (
	phasePlanned   = "planned"
	phaseFetched   = "fetched"
	phaseVerified  = "verified"
	phaseStaged    = "staged"
	phaseWarm      = "warm"
	phaseSynced    = "synced"
	phaseCutover   = "cutover"
	phaseObserve   = "observe"
	phaseApplied   = "applied"
	phaseCommitted = "committed"
	phaseFinalized = "finalized"
	phaseReversing = "reversing"
	phaseReversed  = "reversed"
)

// phase is one thing to do in a step, or at an operation's end.
type phase struct {
	name string
	// intent says what is about to happen, for phases that change something outside; nil for those that only look.
	intent func(w *work) string
	// do makes it so. It fills the record that says that it is done.
	do func(ctx context.Context, e *Engine, w *work, done *Record) error
	// probe reports whether an intent came about, for a process that found it in the journal; nil when do can
	// simply be done again.
	probe func(ctx context.Context, e *Engine, w *work) (bool, error)
	// undo takes it back, whether it was done, half done, or not at all; nil when there is nothing to take back.
	undo func(ctx context.Context, e *Engine, w *work) error
	// fault: when it fails, the package is to blame.
	fault bool
}

// stepPhases are those of each step, in order.
func stepPhases() []phase {
	return []phase{
		{name: phaseFetched, do: fetch},
		{name: phaseVerified, do: verify},
		{name: phaseStaged, do: stage, intent: silent, undo: unstage, fault: true},
		{name: phaseWarm, do: warm, fault: true},
		{name: phaseSynced, do: synced, fault: true},
		{name: phaseCutover, do: cutover, intent: handingOver, probe: cutOver, undo: goBack, fault: true},
		{name: phaseObserve, do: observe, fault: true},
	}
}

// lastPhases are those of an operation's end. An operation that is not to commit ends with the first.
func lastPhases(o *Operation) []phase {
	commit := []phase{
		{name: phaseCommitted, do: commit, intent: silent},
		{name: phaseFinalized, do: finalize},
	}
	switch {
	case o.Kind == KindCommit:
		return commit
	case o.Commit:
		return append([]phase{{name: phaseApplied, do: apply}}, commit...)
	}
	return []phase{{name: phaseApplied, do: apply}}
}

// work is the step that phases work on; at an operation's end it has no component.
type work struct {
	op    *Operation
	index int
	step  Step
	watch Watch
}

func silent(*work) string { return "" }

// adds and removes tell steps that are no replacement; reexec is the supervisor's, whose place nobody else can take.
func (w *work) removes() bool { return w.step.To == "" }
func (w *work) reexec() bool  { return w.step.Component == plan.Supervisor }

func (w *work) name() string {
	if w.removes() {
		return w.step.Component + " " + w.step.FromVersion
	}
	return w.step.Component + " " + w.step.ToVersion
}

func (e *Engine) packageOf(digest string) (*store.Package, error) {
	p, ok := e.cfg.Store.Package(digest)
	if !ok {
		return nil, fmt.Errorf("the store does not have the package %s any more", short(digest))
	}
	return p, nil
}

func fetch(_ context.Context, e *Engine, w *work, done *Record) error {
	if w.removes() {
		return nil
	}
	p, err := e.packageOf(w.step.To)
	if err == nil {
		done.Message = fmt.Sprintf("%s is in the store, %d MiB", p, (p.Size+1<<20-1)>>20)
	}
	return err
}

// verify reads the package again, signature and all: what is about to run is what was signed.
func verify(_ context.Context, e *Engine, w *work, done *Record) error {
	if w.removes() {
		return nil
	}
	differences, files, err := e.cfg.Store.Verify(w.step.To)
	if err != nil {
		return err
	}
	if len(differences) > 0 {
		return fmt.Errorf("%s is not as it was signed: %s; discard it and add it again", w.name(), differences[0])
	}
	done.Message = fmt.Sprintf("signature and %d files of %s are good", files, w.name())
	return nil
}

func stage(ctx context.Context, e *Engine, w *work, done *Record) error {
	if w.removes() {
		return nil
	}
	if err := e.stage(ctx, w.step.Component, w.step.To); err != nil {
		return fmt.Errorf("%s did not start: %w", w.name(), words(err))
	}
	switch {
	case w.reexec():
		done.Message = w.name() + " can take over"
	case w.step.From == "":
		done.Message = w.name() + " started, without the right to write"
	default:
		done.Message = fmt.Sprintf("%s started beside %s, without the right to write", w.name(), w.step.FromVersion)
	}
	return nil
}

func unstage(ctx context.Context, e *Engine, w *work) error {
	return e.discard(ctx, w.step.Component)
}

// warm compares what the new process says that it serves with its manifest.
func warm(ctx context.Context, e *Engine, w *work, done *Record) error {
	if w.removes() || w.reexec() {
		return nil
	}
	c, err := e.candidate(ctx, w)
	if err != nil {
		return err
	}
	p, err := e.packageOf(w.step.To)
	if err != nil {
		return err
	}
	serves := map[string]uint32{}
	for _, s := range c.GetProvides() {
		serves[s.GetName()] = s.GetLevel()
	}
	for _, want := range p.Manifest.Provides {
		// What is not ours, such as gNMI, has no level to tell.
		if level, ok := serves[want.Contract]; strings.HasPrefix(want.Contract, "ashlar.") && (!ok || level != want.Level) {
			return fmt.Errorf("%s serves %s at level %d, its manifest says %d", w.name(), want.Contract, level, want.Level)
		}
	}
	done.Message = fmt.Sprintf("%s answers and serves its %d contracts", w.name(), len(p.Manifest.Provides))
	return nil
}

// candidate returns the staged process of the step's package, alive.
func (e *Engine) candidate(ctx context.Context, w *work) (*supervisorv1.Candidate, error) {
	now, err := e.list(ctx)
	if err != nil {
		return nil, err
	}
	c := now.component(w.step.Component).GetCandidate()
	switch {
	case c == nil || c.GetDigest() != w.step.To:
		return nil, fmt.Errorf("%s does not run beside the old version any more", w.name())
	case c.GetEnded() != "":
		return nil, fmt.Errorf("%s ended before it took over: %s", w.name(), c.GetEnded())
	}
	return c, nil
}

// syncLimit bounds the wait until the new version has taken its inputs and would write what the old one writes.
const syncLimit = 10 * time.Second

func synced(ctx context.Context, e *Engine, w *work, done *Record) error {
	if w.removes() || w.reexec() {
		return nil
	}
	limit, cancel := context.WithTimeoutCause(ctx, syncLimit, context.DeadlineExceeded)
	defer cancel()
	for {
		r, err := e.cfg.Supervisor.Rehearse(limit, &supervisorv1.RehearseRequest{Component: w.step.Component}, grpc.WaitForReady(true))
		if err == nil {
			why := difference(w.step, r)
			if why == "" {
				done.Message = rehearsed(w, r)
				return nil
			}
			err = errors.New(why)
		} else if code := status.Code(err); code == codes.FailedPrecondition || code == codes.NotFound {
			if _, gone := e.candidate(ctx, w); gone != nil {
				return gone
			}
		}
		if pause(limit, pollInterval) != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%w (waited %v)", words(err), syncLimit)
		}
	}
}

func rehearsed(w *work, r *supervisorv1.RehearseResponse) string {
	var parts []string
	for _, o := range r.GetCandidate().GetOutputs() {
		parts = append(parts, fmt.Sprintf("%d %s", o.GetItems(), o.GetName()))
	}
	if len(parts) == 0 || r.GetRunning() == nil {
		return w.name() + " has taken its inputs"
	}
	return fmt.Sprintf("%s would write what %s writes: %s", w.name(), w.step.FromVersion, strings.Join(parts, ", "))
}

func handingOver(w *work) string {
	switch {
	case w.removes():
		return w.name() + " is drained and removed"
	case w.step.From == "":
		return w.name() + " takes the right to write"
	}
	return fmt.Sprintf("%s hands over to %s (%s)", w.step.FromVersion, w.step.ToVersion, w.step.Handover)
}

func cutover(ctx context.Context, e *Engine, w *work, done *Record) error {
	if err := e.beginWatch(ctx, w); err != nil {
		return err
	}
	if w.removes() {
		done.Message = w.name() + " is removed"
		return words(e.remove(ctx, w.step.Component))
	}
	frozen, err := e.cutover(ctx, w.step.Component, w.step.To)
	if err != nil {
		return fmt.Errorf("%s did not take over: %w", w.name(), words(err))
	}
	done.FrozenUS = frozen
	done.Message = w.name() + " runs"
	if frozen > 0 {
		done.Message += fmt.Sprintf("; calls waited %v", (time.Duration(frozen) * time.Microsecond).Round(100*time.Microsecond))
	}
	return nil
}

// cutOver asks whether the cutover came about.
func cutOver(ctx context.Context, e *Engine, w *work) (bool, error) {
	if w.removes() {
		now, err := e.list(ctx)
		return err == nil && now.component(w.step.Component) == nil, err
	}
	return e.awaitDigest(ctx, w.step.Component, w.step.To)
}

func goBack(ctx context.Context, e *Engine, w *work) error {
	return e.ensure(ctx, w.step.Component, w.step.From)
}

// apply starts the commit timer. A set that is committed at once has one too: until then it is not.
func apply(_ context.Context, e *Engine, w *work, done *Record) error {
	done.Deadline = e.cfg.Clock.SinceBoot() + w.op.Timer
	done.RevertsAt = e.cfg.Clock.Now().Add(w.op.Timer)
	done.Message = "everything runs"
	if !w.op.Commit {
		done.Message = fmt.Sprintf("everything runs; taken back in %v unless it is committed", w.op.Timer)
	}
	return nil
}

func commit(_ context.Context, e *Engine, w *work, done *Record) error {
	e.mu.Lock()
	members := copied(e.state.Running)
	e.mu.Unlock()
	g := generations.Generation{ID: w.op.Generation, Made: e.cfg.Clock.Now(), Operation: w.op.ID, Members: members}
	if err := e.cfg.Generations.Make(g, e.cfg.Store.Tree); err != nil {
		return err
	}
	if err := e.cfg.Generations.Commit(g.ID); err != nil {
		return err
	}
	done.Message = fmt.Sprintf("generation %d boots from now on", g.ID)
	return nil
}

// finalize ends the trials and forgets what is too old. Neither can take the commit back; a trial that cannot be ended
// now is ended by the next process.
func finalize(ctx context.Context, e *Engine, _ *work, done *Record) error {
	done.Message = "what runs is what boots"
	if err := e.endTrials(ctx); err != nil {
		done.Message = fmt.Sprintf("committed; %v", err)
	}
	if err := e.cfg.Generations.Prune(); err != nil {
		e.cfg.Log.Warn("old generations stay", "error", err)
	}
	return nil
}

// endTrials confirms every component that the supervisor has on trial.
func (e *Engine) endTrials(ctx context.Context) error {
	now, err := e.list(ctx)
	if err != nil {
		return err
	}
	for _, c := range now.GetComponents() {
		if c.GetTrial() == nil {
			continue
		}
		if err := e.confirm(ctx, c.GetName()); err != nil {
			return fmt.Errorf("%s stays on trial: %w", c.GetName(), words(err))
		}
	}
	// The supervisor is no component of its own list, and need not have a trial to end.
	if err := e.confirm(ctx, plan.Supervisor); err != nil && unknown(err) {
		return fmt.Errorf("the supervisor stays on trial: %w", words(err))
	}
	return nil
}

// tidy ends trials that outlived the commit of what they tried.
func (e *Engine) tidy(ctx context.Context) {
	e.mu.Lock()
	idle := e.state.Applied == 0 && e.state.current() == nil && installed(e.state.Running) == nil
	e.mu.Unlock()
	if !idle {
		return
	}
	if err := e.endTrials(ctx); err != nil {
		e.cfg.Log.Warn("trials go on", "error", err)
	}
}
