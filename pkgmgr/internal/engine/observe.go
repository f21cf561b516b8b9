// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

const (
	// gateInterval is how often gates are read, tellInterval how often the readings are told.
	gateInterval = 100 * time.Millisecond
	tellInterval = 500 * time.Millisecond
	// blind is how long a gate may have no reading before that counts as a failure, while sockets change hands.
	blind = time.Second
	// readyLimit is how much longer than the soak components may take to be ready again.
	readyLimit = 5 * time.Second
)

// beginWatch takes the gates' first readings, once for a step.
func (e *Engine) beginWatch(ctx context.Context, w *work) error {
	if w.watch != nil {
		return nil
	}
	e.mu.Lock()
	digests := copied(e.state.Running)
	e.mu.Unlock()
	running, err := e.running(digests)
	if err != nil {
		return err
	}
	var successor *store.Package
	if !w.removes() {
		if successor, err = e.packageOf(w.step.To); err != nil {
			return err
		}
	}
	var members []*store.Package
	for _, name := range slices.Sorted(maps.Keys(running)) {
		members = append(members, running[name])
	}
	w.watch, err = e.cfg.Gates.Begin(ctx, members, successor)
	if err != nil {
		return fmt.Errorf("the gates could not be read: %w", err)
	}
	return nil
}

// endWatch lets go of what a step's gates hold.
func (w *work) endWatch() {
	if w.watch != nil {
		w.watch.Close()
		w.watch = nil
	}
}

// observe reads the gates and the supervisor until the soak is over and every component is ready.
func observe(ctx context.Context, e *Engine, w *work, done *Record) error {
	if err := e.beginWatch(ctx, w); err != nil {
		return err
	}
	defer w.endWatch()
	begin := time.Now()
	seen, told := begin, begin
	for {
		readings := w.watch.Read(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		failed, missing := failures(readings)
		if missing == "" {
			seen = time.Now()
		}
		switch {
		case failed != "":
			return errors.New(failed)
		case time.Since(seen) > blind:
			return errors.New(missing)
		}
		unready, err := e.intact(ctx, w)
		if err != nil {
			return err
		}
		if past := time.Since(begin) - w.op.Soak; past >= 0 {
			if unready == "" && missing == "" {
				done.Gates = readings
				done.Message = fmt.Sprintf("%s is good: %s", w.name(), inWords(readings))
				return nil
			}
			if past > readyLimit {
				return errors.New(unready + missing)
			}
		}
		if time.Since(told) >= tellInterval {
			told = time.Now()
			e.tell(w, phaseObserve, inWords(readings), readings)
		}
		if err := pause(ctx, min(gateInterval, max(w.op.Soak-time.Since(begin), pollInterval))); err != nil {
			return err
		}
	}
}

// failures says which gates stand against the step, and which have no reading.
func failures(readings []Reading) (failed, missing string) {
	for _, r := range readings {
		switch {
		case r.Missing != "":
			missing = fmt.Sprintf("there is no reading of %q: %s", r.Name, r.Missing)
		case r.Failed():
			failed = fmt.Sprintf("%s: %d, at most %d may be", r.Name, r.Value, r.Most)
		}
	}
	return failed, missing
}

func inWords(readings []Reading) string {
	var parts []string
	for _, r := range readings {
		if r.Missing == "" {
			parts = append(parts, fmt.Sprintf("%d %s", r.Value, r.Name))
		}
	}
	return strings.Join(parts, ", ")
}

// intact asks whether what was handed over to still runs, and which component is not ready.
func (e *Engine) intact(ctx context.Context, w *work) (unready string, err error) {
	now, err := e.list(ctx)
	if err != nil {
		return "", err
	}
	if now.digest(w.step.Component) != w.step.To {
		return "", errors.New(now.whyLost(w.step))
	}
	return now.unready(), nil
}
