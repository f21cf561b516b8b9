// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/engine"
)

// crashCase is an operation that is tried with an end of the process at every point of its journal.
type crashCase struct {
	desc    string
	fail    func(b *bench)
	changes []string
	commit  bool
	want    []string // the set if it succeeds
}

func crashCases() []crashCase {
	return []crashCase{
		{desc: "two components", changes: []string{"rib", "dataplane"}, want: []string{"rib=1.1.0", "dataplane=1.1.0"}},
		{desc: "committed at once", changes: []string{"rib"}, commit: true, want: []string{"rib=1.1.0"}},
		{desc: "itself and another", changes: []string{"pkgmgr", "rib"}, want: []string{"rib=1.1.0", "pkgmgr=1.1.0"}},
		{desc: "an additional component", changes: []string{"extra"}, want: []string{"extra=1.1.0"}},
		{desc: "the second one dies", changes: []string{"rib", "dataplane"}, fail: func(b *bench) {
			b.model.dies[b.shelf.digest["rib=1.1.0"]] = true
		}},
		{desc: "the second one is not ready to take over", changes: []string{"rib", "dataplane"}, fail: func(b *bench) {
			b.gates.set(engine.Reading{Name: "packets lost", Value: 1})
		}},
	}
}

// Ended at any point, and once more while it recovers, the device runs the old set or the new one, whole, and the
// journal says so.
func TestCrashAtEveryRecord(t *testing.T) {
	s := newShelf(t)
	for _, c := range crashCases() {
		t.Run(c.desc, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				finished := false
				t.Run(fmt.Sprint(n), func(t *testing.T) { finished = crashOnce(t, s, c, n) })
				if finished || t.Failed() {
					return
				}
			}
		})
	}
}

// crashOnce reports whether the operation ended before the nth point.
func crashOnce(t *testing.T, s *shelf, c crashCase, n int) bool {
	b := newBench(t, s)
	if c.fail != nil {
		c.fail(b)
	}
	b.start(n)
	if b.engine != nil {
		b.upgrade(engine.Options{Commit: c.commit}, c.changes...)
	}
	finished := false
	select {
	case <-b.crashed:
	default:
		select {
		case <-b.done: // it replaced itself
		default:
			finished = true
		}
	}
	b.stop()
	b.start(1 + n%5) // the next one ends early, too
	if b.engine != nil && b.engine.Current() != 0 {
		select {
		case <-b.crashed:
		case <-b.done:
		case <-idle(b):
		}
	}
	b.stop()
	b.start(0)
	o := b.settledThroughReplacements()
	check(t, b, c, o)
	return finished
}

// idle is closed when the newest operation has ended, or the process.
func idle(b *bench) <-chan struct{} {
	done := make(chan struct{})
	e := b.engine
	go func() {
		defer close(done)
		for {
			s, _, changed := e.Snapshot()
			n := len(s.Operations)
			if n == 0 || s.Operations[n-1].Outcome != engine.Running {
				return
			}
			select {
			case <-changed:
			case <-b.done:
				return
			}
		}
	}()
	return done
}

// settledThroughReplacements starts successors until the newest operation has ended.
func (b *bench) settledThroughReplacements() *engine.Operation {
	b.t.Helper()
	for range 5 {
		<-idle(b)
		select {
		case <-b.done:
			b.start(0)
		default:
			return b.settled()
		}
	}
	b.t.Fatal("the package manager is replaced again and again")
	return nil
}

func check(t *testing.T, b *bench, c crashCase, o *engine.Operation) {
	t.Helper()
	if o == nil {
		b.runs(b.shelf.old())
		return
	}
	switch o.Outcome {
	case engine.Succeeded:
		if c.want == nil {
			t.Fatal("it succeeded, and must not")
		}
		b.runs(b.shelf.with(c.want...))
	case engine.Reversed:
		b.runs(b.shelf.old())
	default:
		t.Fatalf("it ended as %s: %s", o.Outcome, o.Reason)
	}
	if len(b.model.candidate) != 0 {
		t.Errorf("candidates are left: %v", b.model.candidate)
	}
	committed := b.committed() == 2
	if committed != (c.commit && o.Outcome == engine.Succeeded) {
		t.Errorf("generation %d is committed after an operation that %s", b.committed(), o.Outcome)
	}
	if c.want == nil && !maps.Equal(b.model.set(), b.shelf.old()) {
		t.Error("another set runs")
	}
}
