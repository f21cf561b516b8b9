// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package commit carries a Set through the house: candidate, validation, prepare at every owner, one
// transaction in the state store, commit at every owner.
//
// The store's transaction is the decision. Before it, any refusal aborts and nothing has changed anywhere.
// After it, the change stands unless an owner has it not in effect within Patience; then the inverse is
// written as a new revision and every owner applies that. The decision carries a pending mark, so that a
// successor of this process knows what was perhaps never acknowledged; the next commit replaces it, or a
// short idle time clears it. Run finishes a mark that it finds before anything else: an owner that refuses
// the change has it taken back, an owner that is away gets it with its snapshot.
//
// One transaction runs at a time, in the order of arrival. An Engine is safe for concurrent use.
//
// A successor takes over from an engine that is frozen: nothing is under way then, no mark is pending, and the
// owners have left to attach to the successor. What that one decides is read from the store and published, so that
// readers who are still here hear of it. An engine that is unfrozen trusts nothing that it knew and loads again.
package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/store"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
)

const (
	// Patience is how long owners have to prepare, and again to have a decided change in effect, unless
	// the options say otherwise.
	Patience = 5 * time.Second
	// Limit is how long a client is kept waiting, unless the options say otherwise: long enough for an owner that
	// is silent when asked to put a change into effect, and again when asked to take it back.
	Limit = 12 * time.Second
	// Absence is how long a Set waits for an owner that is not attached, unless the options say otherwise: an owner
	// that is being replaced is back sooner.
	Absence = 2 * time.Second
	// drainLimit bounds how long the end of Run waits for a transaction under way.
	drainLimit = 4 * time.Second
)

var (
	// ErrNotReady says that the configuration is not loaded yet; nothing changed.
	ErrNotReady = errors.New("the configuration service is not ready")
	// ErrBusy says that too many transactions wait already; nothing changed.
	ErrBusy = errors.New("too many transactions wait for their turn")
	// ErrWaiting says that a transaction did not get its turn in time; nothing changed.
	ErrWaiting = errors.New("still waiting for its turn")
	// ErrUnknown says that a transaction is neither done nor given up yet. The same Set again waits for its end,
	// and makes the change if it was given up.
	ErrUnknown = errors.New("the outcome is not known")
)

// Steps are called at the points of a transaction where a crash is most interesting. Nil ones are skipped.
type Steps struct {
	// Prepared: every owner has accepted. Decided: the store has the revision. Applied: every owner has it in
	// effect, the pending mark still stands.
	Prepared, Decided, Applied func()
}

func call(step func()) {
	if step != nil {
		step()
	}
}

// Options are what an Engine stands on.
type Options struct {
	Model    *schema.Model
	Store    *store.Store
	Registry *owners.Registry
	// Publish is told each accepted configuration.
	Publish func(*tree.Tree)
	Log     *slog.Logger
	Metrics *Metrics
	Steps   Steps
	// Patience with owners, Limit of a Set, Absence of an owner; 0 stands for the constants of these names.
	Patience, Limit, Absence time.Duration
}

// decision is the newest revision and what it says.
type decision struct {
	revision int64
	tree     *tree.Tree
}

// Engine is the one writer of the configuration.
type Engine struct {
	Options
	turn    *turn
	decided atomic.Pointer[decision]
	// life ends when the engine does; work that must outlive its client hangs on it.
	life context.Context
	stop context.CancelFunc
	// term is the present one, ready is closed when clients may call for the first time.
	term         atomic.Pointer[term]
	ready        chan struct{}
	fatal        chan error
	transactions atomic.Uint64
	audience     audience

	mu      sync.Mutex
	problem error
	// thaw is set while the engine is frozen: it ends what a frozen engine does and hands out the turn's release.
	thaw func() (release func())
	// resuming: transactions need only wait until the store is loaded again.
	resuming atomic.Bool

	// idle fires when no commit has followed the last one for a while.
	idle *time.Timer

	// inEffect is the revision that all its owners have in effect; only the holder of the turn uses it.
	inEffect int64

	// bound is what was declared, bound to the model; only the holder of the turn uses it.
	bound binding
}

// New returns an engine that does nothing before Run.
func New(o Options) *Engine {
	life, stop := context.WithCancel(context.Background())
	o.Patience, o.Limit, o.Absence = cmp.Or(o.Patience, Patience), cmp.Or(o.Limit, Limit), cmp.Or(o.Absence, Absence)
	idle := time.NewTimer(time.Hour)
	idle.Stop()
	e := &Engine{
		Options: o, turn: newTurn(), life: life, stop: stop, idle: idle,
		ready: make(chan struct{}), fatal: make(chan error, 1), audience: audience{listeners: map[*listener]struct{}{}},
		problem: fmt.Errorf("%w: the store is not loaded", ErrNotReady),
	}
	e.term.Store(newTerm(life))
	return e
}

// Run loads the configuration, finishes a pending mark, and then lets transactions run until ctx ends or
// this process no longer knows the truth (an error; the successor reads it from the store).
func (e *Engine) Run(ctx context.Context) error {
	defer e.stop()
	release, err := e.turn.take(ctx, stageLoading)
	if err != nil {
		return err
	}
	if err := e.start(ctx); err != nil {
		release()
		return err
	}
	close(e.ready)
	e.setProblem(nil)
	release()
	for {
		select {
		case <-e.idle.C:
			if release, err := e.turn.take(ctx, stageStoring); err == nil {
				_ = e.clear(ctx) // a lost store comes by the channel
				release()
			}
		case err := <-e.fatal:
			return err
		case <-ctx.Done():
			return e.drain()
		}
	}
}

// Started is closed when transactions may run.
func (e *Engine) Started() <-chan struct{} { return e.ready }

// Stopped is closed when Run has ended.
func (e *Engine) Stopped() <-chan struct{} { return e.life.Done() }

// drain waits for the transaction under way and lets no other begin.
func (e *Engine) drain() error {
	e.setProblem(fmt.Errorf("%w: it is shutting down", ErrNotReady))
	if e.Frozen() {
		return nil // nothing is under way, and the store is the successor's
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	if _, err := e.turn.take(ctx, stageEnding); err != nil {
		return fmt.Errorf("a transaction did not finish in %s", drainLimit)
	}
	if err := e.clear(ctx); err != nil {
		e.Log.Warn("the pending mark still stands", "error", err)
	}
	return nil
}

// Probe says what is missing before clients may call, or nil.
func (e *Engine) Probe() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.problem
}

func (e *Engine) setProblem(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.problem = err
}

// fail ends Run: only a fresh start can tell what is true.
func (e *Engine) fail(err error) {
	e.setProblem(err)
	select {
	case e.fatal <- err:
	default:
	}
}

// Revision is that of the newest decision; 0 before the first.
func (e *Engine) Revision() int64 {
	if d := e.decided.Load(); d != nil {
		return d.revision
	}
	return 0
}
