// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine goes from one set of components to another in service, and back.
//
// An operation is steps, one for each component, and each step is the phases of the list in phases.go. A phase that
// changes anything outside has its intent on the disk before, and a record that it is done after. Every effect
// is of the kind "make it so": doing it again changes nothing. So recovery needs no list of special cases: a new process
// reads the journal, skips the phases that are done, asks the supervisor whether the one that was intended came
// about, and goes on, forward or back, as the journal says.
//
// What it promises:
//   - At any moment the running set is one of those that were judged: the old one, the new one, or one on the way.
//   - One operation runs at a time. It ends as succeeded, or as reversed or aborted with the old set running.
//   - A set that was applied and is not committed is taken back when its timer ends, or when one of its versions dies.
//   - Nothing is written before Run.
//
// An Engine is safe for concurrent use. Requests return at once or wait for the operation they began; the work
// is done by Run, in one goroutine.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generations"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/journal"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// Config is what an engine works with. All fields but Hook are set.
type Config struct {
	// Dir is the package manager's state directory.
	Dir         string
	Store       *store.Store
	Generations *generations.Generations
	Supervisor  supervisorv1.SupervisorClient
	Judge       Judge
	Gates       Gates
	Clock       Clock
	Log         *slog.Logger
	// Hook is called before and after each record gets to the disk, for tests that end the process there.
	Hook func(point Point, r Record)
}

// Point is a moment of a record's life.
type Point string

// The points at which Hook is called.
const (
	Before Point = "before"
	After  Point = "after"
)

// Clock is the time for people, and the time that counts from boot.
type Clock struct {
	Now func() time.Time
	// SinceBoot counts sleep too (CLOCK_BOOTTIME); Boot is the kernel's random id of this boot.
	SinceBoot func() time.Duration
	Boot      string
}

// SystemClock is the machine's.
func SystemClock() (Clock, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Clock{}, fmt.Errorf("engine: %w", err)
	}
	return Clock{Now: time.Now, SinceBoot: sinceBoot, Boot: strings.TrimSpace(string(boot))}, nil
}

func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // the kernel has had this clock since 2.6.39
	}
	return time.Duration(ts.Nano())
}

// Engine is the upgrade engine of a device.
type Engine struct {
	cfg Config

	mu      sync.Mutex
	journal *journal.Journal
	state   *State
	// broken says why nothing can be installed.
	broken error
	// fresh: there was no journal, or none that can be trusted, so that what runs has to be looked at.
	fresh bool
	// changed is closed and replaced whenever the state changes.
	changed chan struct{}
	// stop ends the operation under way, unless it is finishing; abort says why it shall end.
	stop      context.CancelCauseFunc
	finishing bool
	abort     error

	nudge chan struct{}
}

// journalFile is the journal's name in the state directory; shortenAt is the size in bytes past which it is rewritten
// when the process starts.
const (
	journalFile = "journal"
	shortenAt   = 4 << 20
)

// Open reads the journal and gets ready to go on with what it says. A journal that cannot be trusted is no error:
// the device then runs its committed generation and refuses installs.
func Open(cfg Config) (*Engine, error) {
	e := &Engine{cfg: cfg, state: newState(), changed: make(chan struct{}), nudge: make(chan struct{}, 1)}
	path := filepath.Join(cfg.Dir, journalFile)
	j, payloads, err := journal.Open(path)
	switch {
	case errors.Is(err, journal.ErrDamaged), errors.Is(err, journal.ErrNewer):
		e.distrust(err)
		return e, nil
	case err != nil:
		return nil, err
	}
	e.journal, e.fresh = j, len(payloads) == 0
	for i, p := range payloads {
		r, err := decode(p)
		if err == nil {
			err = e.state.take(r)
		}
		if err != nil {
			e.distrust(fmt.Errorf("%w: record %d of %s: %w", journal.ErrDamaged, i+1, path, err))
			return e, nil
		}
	}
	if j.Size() > shortenAt {
		if err := e.shorten(path); err != nil {
			return nil, err
		}
	}
	return e, e.boot()
}

// distrust leaves the journal alone and falls back to the committed generation.
func (e *Engine) distrust(why error) {
	if e.journal != nil {
		e.journal.Close()
		e.journal = nil
	}
	e.fresh = true
	e.state = newState()
	if g, ok := e.cfg.Generations.Committed(); ok {
		e.state.Running = copied(g.Members)
	}
	e.broken = fmt.Errorf("%w; the device runs its committed generation and nothing can be installed: keep %s for the vendor, move it away and restart pkgmgr with `ashlar restart pkgmgr`",
		why, filepath.Join(e.cfg.Dir, journalFile))
	e.cfg.Log.Error("installs are refused", "error", e.broken)
}

// shorten begins a new journal with the state that the old one adds up to.
func (e *Engine) shorten(path string) error {
	p, err := Record{Kind: recordSnapshot, Time: e.cfg.Clock.Now(), Snapshot: e.state}.encode()
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	j, err := journal.Replace(path, [][]byte{p})
	if err != nil {
		return err
	}
	e.journal.Close()
	e.journal = j
	return nil
}

// boot notes that the machine was booted since the journal was written: what was not committed is gone.
func (e *Engine) boot() error {
	if e.state.Boot == e.cfg.Clock.Boot {
		return nil
	}
	committed, _ := e.cfg.Generations.Committed()
	o := e.state.current()
	if err := e.write(Record{Kind: recordBoot, Boot: e.cfg.Clock.Boot, Members: committed.Members}); err != nil {
		return err
	}
	if o == nil {
		return nil
	}
	end := Record{Kind: recordEnd, Operation: o.ID, Phase: phaseReversed, Outcome: Reversed, Message: "the device was booted in the middle: its committed generation runs"}
	if o.Generation != 0 && o.Generation == committed.ID {
		end.Phase, end.Outcome, end.Message = phaseFinalized, Succeeded, fmt.Sprintf("generation %d is committed", committed.ID)
	}
	return e.write(end)
}

// write puts a record on the disk and takes it into the state.
func (e *Engine) write(r Record) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.writeLocked(r)
}

func (e *Engine) writeLocked(r Record) error {
	if e.journal == nil {
		return e.broken
	}
	r.Time = e.cfg.Clock.Now()
	p, err := r.encode()
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	e.hook(Before, r)
	if err := e.journal.Append(p); err != nil {
		return err
	}
	e.hook(After, r)
	return e.takeLocked(r)
}

func (e *Engine) takeLocked(r Record) error {
	if err := e.state.take(r); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	e.tellLocked()
	return nil
}

// note is write for what must go on although the disk does not: on the way back.
func (e *Engine) note(r Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.writeLocked(r); err != nil {
		e.cfg.Log.Error("going back without a record of it", "record", r.Kind, "error", err)
		r.Time = e.cfg.Clock.Now()
		if err := e.takeLocked(r); err != nil {
			e.cfg.Log.Error("the record was not taken", "error", err)
		}
	}
}

func (e *Engine) hook(point Point, r Record) {
	if e.cfg.Hook != nil {
		e.cfg.Hook(point, r)
	}
}

// tellLocked wakes who waits for a change.
func (e *Engine) tellLocked() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// look is how often an applied set is looked at until it is committed.
const look = 200 * time.Millisecond

// errLeaving: the process is asked to end; its successor goes on.
var errLeaving = errors.New("the package manager is being replaced or stopped")

// Run does the work until ctx ends. An operation under way is left to the next process.
func (e *Engine) Run(ctx context.Context) {
	defer e.close()
	if e.fresh {
		e.settle(ctx)
	}
	e.tidy(ctx)
	for ctx.Err() == nil {
		if o := e.unfinished(); o != nil {
			e.perform(ctx, o)
			continue
		}
		e.wait(ctx)
	}
}

func (e *Engine) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.journal != nil {
		e.journal.Close()
		e.journal = nil
	}
	e.broken = errLeaving
	e.tellLocked()
}

func (e *Engine) unfinished() *Operation {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.state.current(); o != nil {
		return o.clone()
	}
	return nil
}

// wait returns when there may be work.
func (e *Engine) wait(ctx context.Context) {
	e.mu.Lock()
	applied := e.state.Applied != 0
	e.mu.Unlock()
	var tick <-chan time.Time
	if applied {
		timer := time.NewTimer(look)
		defer timer.Stop()
		tick = timer.C
	}
	select {
	case <-ctx.Done():
	case <-e.nudge:
	case <-tick:
		e.lookAtApplied(ctx)
	}
}

// poke makes Run look for work.
func (e *Engine) poke() {
	select {
	case e.nudge <- struct{}{}:
	default:
	}
}

// lookAtApplied takes an applied set back when its time is up or a part of it is gone.
func (e *Engine) lookAtApplied(ctx context.Context) {
	e.mu.Lock()
	o, deadline, running := e.state.operation(e.state.Applied), e.state.Deadline, copied(e.state.Running)
	e.mu.Unlock()
	if o == nil {
		return
	}
	why := ""
	if e.cfg.Clock.SinceBoot() >= deadline {
		why = fmt.Sprintf("not committed within %v", o.Timer)
	} else if now, err := e.list(ctx); err == nil {
		why = now.lost(o.Steps, running)
	}
	if why == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state.Applied != o.ID || e.state.current() != nil {
		return // somebody was faster
	}
	if err := e.writeLocked(Record{Kind: recordBack, Operation: o.ID, Phase: phaseReversing, Outcome: Aborted, Message: why}); err != nil {
		e.cfg.Log.Error("the applied set could not be taken back", "error", err)
	}
}

// running returns the packages that run, by component. A digest that the store does not have is an error.
func (e *Engine) running(digests map[string]string) (map[string]*store.Package, error) {
	out := map[string]*store.Package{}
	for component, digest := range digests {
		p, ok := e.cfg.Store.Package(digest)
		if !ok {
			return nil, fmt.Errorf("the store lacks the package %s of %s, which runs: add it again", short(digest), component)
		}
		out[component] = p
	}
	return out, nil
}

func short(digest string) string { return digest[:min(len(digest), 12)] }

// installed reports whether there is anything to go on from.
func installed(running map[string]string) error {
	if len(running) == 0 || running[plan.Manager] == "" {
		return errors.New("this device was not installed from packages: `pkgmgrd bootstrap --root R --repository DIR` on a stopped device does that")
	}
	return nil
}
