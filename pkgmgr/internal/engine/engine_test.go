// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/engine"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
)

func TestUpgradeAndCommit(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	o := b.upgrade(engine.Options{By: "uid 0"}, "rib", "dataplane")
	if o == nil || o.Outcome != engine.Succeeded || o.By != "uid 0" {
		t.Fatalf("got %+v", o)
	}
	if o.Steps[0].Component != "dataplane" || o.Steps[1].Component != "rib" {
		t.Errorf("steps %v: the provider goes first", o.Steps)
	}
	want := b.shelf.with("rib=1.1.0", "dataplane=1.1.0")
	b.runs(want)
	if b.committed() != 1 || b.state().Applied != o.ID {
		t.Errorf("generation %d is committed before Commit", b.committed())
	}
	if len(b.model.trial) != 2 {
		t.Errorf("%d components are on trial, want both until the commit", len(b.model.trial))
	}
	g, err := b.engine.Commit(context.Background(), "uid 0")
	b.must(err)
	if g != 2 || b.committed() != 2 || len(b.model.trial) != 0 || b.state().Applied != 0 {
		t.Errorf("generation %d, committed %d, %d on trial", g, b.committed(), len(b.model.trial))
	}
	b.runs(want)
}

func TestPhasesAreToldInOrder(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	o := b.upgrade(engine.Options{Commit: true}, "rib")
	var got []string
	b.must(b.engine.Follow(context.Background(), o.ID, func(_ *engine.Operation, p engine.Progress) error {
		if len(got) == 0 || got[len(got)-1] != p.Phase {
			got = append(got, p.Phase)
		}
		return nil
	}))
	want := "planned fetched verified staged warm synced cutover observe applied committed finalized"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if b.committed() != 2 {
		t.Errorf("generation %d is committed, want 2", b.committed())
	}
}

// Whatever fails, the old set runs, the reason says what it was, and the package is not chosen again by itself.
func TestFailuresAreTakenBack(t *testing.T) {
	s := newShelf(t)
	bad := s.digest["rib=1.1.0"]
	routes := func(n int) []*lifecyclev1.Output {
		o := &lifecyclev1.Output{Name: "routes", Items: uint64(n), Digest: []byte{byte(n)}}
		for i := range n {
			o.Sample = append(o.Sample, string(rune('a'+i)))
		}
		return []*lifecyclev1.Output{o}
	}
	for desc, tt := range map[string]struct {
		fail func(b *bench)
		want string
	}{
		"does not start": {func(b *bench) {
			b.model.stageError[bad] = status.Error(codes.FailedPrecondition, "ended: exit status 2")
		}, "rib 1.1.0 did not start: ended: exit status 2"},
		"serves something else": {func(b *bench) { b.model.mute[bad] = true },
			"serves ashlar.rib.v1 at level 0, its manifest says 1"},
		"would write less": {func(b *bench) {
			b.model.outputs[bad], b.model.outputs[s.digest["rib=1.0.0"]] = routes(0), routes(5)
		}, "rib 1.1.0 would write 0 routes where rib 1.0.0 writes 5: missing a, b, c and 2 more"},
		"does not take over": {func(b *bench) {
			b.model.cutoverError[bad] = status.Error(codes.Internal, "not ready within 10s; rib 1.0.0 runs as before")
		}, "rib 1.1.0 did not take over: not ready within 10s"},
		"dies at once": {func(b *bench) { b.model.dies[bad] = true },
			"rib 1.1.0 ended by itself and the supervisor went back to 1.0.0: signal: segmentation fault"},
		"loses packets": {func(b *bench) {
			b.gates.set(engine.Reading{Name: "packets lost", Value: 7})
		}, "packets lost: 7, at most 0 may be"},
		"a gate without a reading": {func(b *bench) {
			b.gates.set(engine.Reading{Name: "packets lost", Missing: "dataplane does not answer"})
		}, "dataplane does not answer"},
	} {
		t.Run(desc, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, s)
			tt.fail(b)
			b.start(0)
			o := b.upgrade(engine.Options{}, "dataplane", "rib")
			if o == nil || o.Outcome != engine.Reversed {
				t.Fatalf("got %+v", o)
			}
			if !strings.Contains(o.Reason, tt.want) {
				t.Errorf("the reason is %q, want %q in it", o.Reason, tt.want)
			}
			b.runs(s.old())
			if len(b.model.trial) != 0 || len(b.model.candidate) != 0 {
				t.Errorf("left over: trials %v, candidates %v", b.model.trial, b.model.candidate)
			}
			if len(b.state().Quarantine) != 1 {
				t.Errorf("%d packages are quarantined", len(b.state().Quarantine))
			}
		})
	}
}

func TestQuarantinedIsNotChosenByItself(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.model.dies[b.shelf.digest["rib=1.1.0"]] = true
	b.start(0)
	b.upgrade(engine.Options{}, "rib")
	if _, err := b.engine.Propose(parse([]string{"rib"}), false, false); err == nil || !strings.Contains(err.Error(), "nothing would change") {
		t.Errorf("got %v: the newest one that is free runs already", err)
	}
	if p, err := b.engine.Propose(parse([]string{"rib=1.1.0"}), false, false); err != nil || len(p.Steps) != 1 {
		t.Errorf("by its version it may be tried again: %v", err)
	}
}

func TestTimerTakesBack(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	o := b.upgrade(engine.Options{Timer: time.Minute}, "rib")
	b.runs(b.shelf.with("rib=1.1.0"))
	b.clock.forward(2 * time.Minute)
	o = b.ended(o.ID, engine.Aborted)
	if !strings.Contains(o.Reason, "not committed within 1m0s") {
		t.Errorf("the reason is %q", o.Reason)
	}
	b.runs(b.shelf.old())
	if len(b.model.trial) != 0 {
		t.Error("the old version is on trial: its crash would bring the new one back")
	}
}

// ended waits for an outcome.
func (b *bench) ended(id uint64, want engine.Outcome) *engine.Operation {
	b.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		s, _, changed := b.engine.Snapshot()
		for _, o := range s.Operations {
			if o.ID == id && o.Outcome == want {
				return o
			}
		}
		select {
		case <-changed:
		case <-deadline:
			b.t.Fatalf("operation %d did not end as %s", id, want)
		}
	}
}

func TestTimerOutlivesTheProcess(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	o := b.upgrade(engine.Options{Timer: time.Minute}, "rib")
	b.stop()
	b.clock.forward(2 * time.Minute)
	b.start(0)
	b.ended(o.ID, engine.Aborted)
	b.runs(b.shelf.old())
}

func TestDeathOfAnAppliedVersionTakesBack(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	o := b.upgrade(engine.Options{}, "rib", "dataplane")
	b.model.die("rib")
	o = b.ended(o.ID, engine.Aborted)
	if !strings.Contains(o.Reason, "rib 1.1.0 ended by itself") {
		t.Errorf("the reason is %q", o.Reason)
	}
	b.runs(b.shelf.old())
}

func TestRebootRunsTheCommittedSet(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	b.upgrade(engine.Options{}, "rib")
	b.stop()
	b.clock.boot = "second"
	b.model = newModel(b.shelf.store, b.shelf.old())
	b.start(0)
	b.runs(b.shelf.old())
	if s := b.state(); s.Applied != 0 || !s.RevertsAt.IsZero() {
		t.Error("a set that was not committed is taken for applied after a reboot")
	}
	if o := b.upgrade(engine.Options{}, "rib"); o == nil || o.Outcome != engine.Succeeded {
		t.Errorf("got %+v", o)
	}
}

func TestAbort(t *testing.T) {
	for _, when := range []string{"staged", "observe", "applied", "pending"} {
		t.Run(when, func(t *testing.T) {
			b := newBench(t, newShelf(t))
			b.start(0)
			soak := time.Millisecond
			if when == "staged" { // it stays in synced
				b.model.missing[b.shelf.digest["rib=1.1.0"]] = "the routes"
			} else if when == "observe" {
				soak = time.Hour
			}
			if when == "pending" {
				_, err := b.engine.Propose(parse([]string{"rib"}), false, false)
				b.must(err)
			} else {
				id, err := b.begin(engine.Options{Soak: soak}, "rib")
				b.must(err)
				b.reached(id, when)
			}
			text, err := b.engine.Abort(context.Background(), "uid 0")
			if err != nil || text == "" {
				t.Fatalf("got %q, %v", text, err)
			}
			b.runs(b.shelf.old())
			s := b.state()
			if s.Pending != nil || s.Applied != 0 || len(s.Quarantine) != 0 {
				t.Errorf("pending %v, applied %d, quarantine %v", s.Pending, s.Applied, s.Quarantine)
			}
			if when != "pending" && s.Operations[0].Outcome != engine.Aborted {
				t.Errorf("the outcome is %s", s.Operations[0].Outcome)
			}
		})
	}
}

// reached waits until an operation has told of a phase.
func (b *bench) reached(id uint64, phase string) {
	b.t.Helper()
	stop := errors.New("reached")
	err := b.engine.Follow(context.Background(), id, func(_ *engine.Operation, p engine.Progress) error {
		if p.Phase == phase {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		b.t.Fatalf("phase %s was not reached: %v", phase, err)
	}
}

func TestRollback(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	b.upgrade(engine.Options{Commit: true}, "rib", "dataplane")
	id, err := b.engine.Rollback(1, []string{"rib"}, engine.Options{Soak: time.Millisecond})
	b.must(err)
	if o := b.ended(id, engine.Succeeded); o.Kind != engine.KindRollback {
		t.Errorf("got %+v", o)
	}
	b.runs(b.shelf.with("dataplane=1.1.0"))
	if b.committed() != 3 {
		t.Errorf("generation %d is committed, want a new one", b.committed())
	}
}

func TestAddAndRemoveAComponent(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	if o := b.upgrade(engine.Options{Commit: true}, "extra"); o.Outcome != engine.Succeeded {
		t.Fatalf("got %+v", o)
	}
	b.runs(b.shelf.with("extra=1.1.0"))
	if o := b.upgrade(engine.Options{}, "extra=none"); o.Outcome != engine.Succeeded {
		t.Fatalf("got %+v", o)
	}
	b.runs(b.shelf.old())
	_, err := b.engine.Abort(context.Background(), "uid 0")
	b.must(err)
	b.runs(b.shelf.with("extra=1.1.0"))
}

// The package manager's own step ends the process in the middle of its call: the next one goes on.
func TestOwnUpgradeIsFinishedByTheSuccessor(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	id, err := b.begin(engine.Options{Commit: true}, "rib", "pkgmgr", "supervisor")
	b.must(err)
	<-b.done
	b.start(0)
	o := b.ended(id, engine.Succeeded)
	if o.Steps[0].Component != "pkgmgr" || o.Steps[2].Component != "supervisor" {
		t.Errorf("steps %v: the manager goes first, the supervisor last", o.Steps)
	}
	b.runs(b.shelf.with("rib=1.1.0", "pkgmgr=1.1.0", "supervisor=1.1.0"))
}

func TestRefusals(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	b.judge.forbid = func(s plan.Set) string {
		for _, p := range s.Packages {
			if p.Component == "rib" && p.Version == "1.1.0" {
				return "rib 1.1.0 was never tested with dataplane 1.0.0"
			}
		}
		return ""
	}
	_, err := b.engine.Propose(parse([]string{"rib"}), false, false)
	var refused *engine.NotAllowed
	if !errors.As(err, &refused) || len(refused.Reasons) == 0 {
		t.Fatalf("got %v, want the judge's reasons", err)
	}
	if b.state().Pending != nil {
		t.Error("a proposal that is not allowed was kept")
	}
	_, err = b.engine.Apply(engine.Options{})
	if !errors.Is(err, engine.ErrState) {
		t.Errorf("got %v without a proposal", err)
	}
	_, err = b.engine.Propose(parse([]string{"rib=9.9.9"}), false, false)
	if !errors.Is(err, engine.ErrArgument) || !strings.Contains(err.Error(), "1.0.0, 1.1.0") {
		t.Errorf("got %v, want the versions that there are", err)
	}
}

// What becomes forbidden between Propose and Apply is refused, and remembered as refused.
func TestApplyJudgesAgain(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	_, err := b.engine.Propose(parse([]string{"rib"}), false, false)
	b.must(err)
	b.judge.forbid = func(plan.Set) string { return "the evidence says that it failed" }
	var refused *engine.NotAllowed
	if _, err := b.engine.Apply(engine.Options{}); !errors.As(err, &refused) {
		t.Fatalf("got %v", err)
	}
	if o := b.state().Operations; len(o) != 1 || o[0].Outcome != engine.Refused {
		t.Errorf("the history has %v", o)
	}
}

func TestOneOperationAtATime(t *testing.T) {
	b := newBench(t, newShelf(t))
	b.start(0)
	id, err := b.begin(engine.Options{Soak: time.Hour}, "rib")
	b.must(err)
	b.reached(id, "observe")
	var busy *engine.Busy
	if _, err := b.engine.Propose(parse([]string{"dataplane"}), false, false); !errors.As(err, &busy) || busy.Operation != id {
		t.Errorf("got %v, want the other operation's id", err)
	}
}

func TestUnfitJournals(t *testing.T) {
	for desc, tt := range map[string]struct {
		damage func(text []byte) []byte
		want   string
	}{
		"a byte in the middle": {func(text []byte) []byte { text[len(text)/2] ^= 1; return text }, "damaged"},
		"of a newer version":   {func([]byte) []byte { return []byte("ashlar-journal/7\n") }, "newer"},
		"no journal":           {func([]byte) []byte { return []byte("hello\n") }, "damaged"},
	} {
		t.Run(desc, func(t *testing.T) {
			b := newBench(t, newShelf(t))
			b.start(0)
			b.upgrade(engine.Options{}, "rib")
			b.stop()
			file := filepath.Join(b.dir, "journal")
			text, err := os.ReadFile(file)
			b.must(err)
			b.must(os.WriteFile(file, tt.damage(slices.Clone(text)), 0o644))
			b.start(0)
			for i := 0; i < 200 && b.model.set()["rib"] != b.shelf.digest["rib=1.0.0"]; i++ {
				time.Sleep(10 * time.Millisecond)
			}
			b.runs(b.shelf.old())
			_, err = b.engine.Propose(parse([]string{"rib"}), false, false)
			if !errors.Is(err, engine.ErrState) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("got %v, want words that say what to do", err)
			}
			if now, _ := os.ReadFile(file); string(now) != string(tt.damage(slices.Clone(text))) {
				t.Error("the damaged journal was changed")
			}
		})
	}
}
