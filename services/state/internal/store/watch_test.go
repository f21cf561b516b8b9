// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// follower keeps a copy of a table from a watch, and insists on order: no revision twice, none before another.
type follower struct {
	rows     map[string]int64
	last     int64
	count    int
	until    int64
	gone     int64
	hold     func()
	snapshot bool
}

var errReached = errors.New("reached")

func (f *follower) Rows(rows []Row) error {
	for _, r := range rows {
		f.rows[r.Key] = mustNumber(r.Value)
	}
	return nil
}

func (f *follower) Synced(revision int64) error {
	f.last, f.snapshot = revision, true
	return f.reached()
}

func (f *follower) Events(revision int64, events []Event) error {
	if f.hold != nil {
		f.hold()
	}
	if revision <= f.last {
		return fmt.Errorf("revision %d came after %d", revision, f.last)
	}
	f.last = revision
	f.count++
	for _, e := range events {
		if e.Row.Revision != revision {
			return fmt.Errorf("revision %d tells of a change at %d", revision, e.Row.Revision)
		}
		if e.Deleted {
			delete(f.rows, e.Row.Key)
		} else {
			f.rows[e.Row.Key] = mustNumber(e.Row.Value)
		}
	}
	return f.reached()
}

func (f *follower) Compacted(oldest int64) error {
	f.gone = oldest
	return nil
}

func (f *follower) reached() error {
	if f.until != 0 && f.last >= f.until {
		return errReached
	}
	return nil
}

func mustNumber(b []byte) int64 {
	var n int64
	for i, shift := 1, 0; i < len(b); i, shift = i+1, shift+7 {
		n |= int64(b[i]&0x7f) << shift
	}
	return n
}

// follow watches until the revision and fails the test when that does not come.
func follow(t testing.TB, s *Store, f *follower, until int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f.until = until
	if err := s.Watch(ctx, tableA, "", f.last, f); !errors.Is(err, errReached) {
		t.Fatalf("watch ended at revision %d of %d: %v", f.last, until, err)
	}
}

func TestWatchResumesAcrossRestartWithoutGapOrDuplicate(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, nil)
	mustTransact(t, s, putOp(tableA, "before", 1), putOp(tableA, "gone", 2))
	f := &follower{rows: map[string]int64{}}
	follow(t, s, f, mustTransact(t, s, Operation{Table: tableA, Key: "gone", Delete: true}))
	changes := 0
	for round := range 3 {
		var last int64
		for i := range 50 {
			last = mustTransact(t, s, putOp(tableA, fmt.Sprint("k", i%7), int64(round*100+i+1)), putOp(tableB, "other", 1))
			changes++
		}
		stop(s)
		s = start(t, dir, nil)
		follow(t, s, f, last)
		if diff := cmp.Diff(contents(t, s, tableA, 0), f.rows); diff != "" {
			t.Fatalf("round %d (-store +watched):\n%s", round, diff)
		}
	}
	if f.count != changes {
		t.Errorf("%d revisions were watched, want %d", f.count, changes)
	}
}

func TestWatchFollowsConcurrentWriters(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	var last atomic.Int64
	done := make(chan struct{})
	for w := range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range 100 {
				o, err := s.Transact(context.Background(), writerA, Transaction{Token: 1, Operations: []Operation{putOp(tableA, fmt.Sprint(w, "-", i%9), int64(i+1))}})
				if err != nil {
					t.Error(err)
					return
				}
				for seen := last.Load(); seen < o.Revision && !last.CompareAndSwap(seen, o.Revision); seen = last.Load() {
				}
			}
		}()
	}
	f := &follower{rows: map[string]int64{}}
	follow(t, s, f, 40)
	for range 4 {
		<-done
	}
	follow(t, s, f, last.Load())
	if diff := cmp.Diff(contents(t, s, tableA, 0), f.rows); diff != "" {
		t.Errorf("(-store +watched):\n%s", diff)
	}
}

func TestWatchOfStalledReaderHoldsNothingAndGoesOn(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	first := mustTransact(t, s, putOp(tableA, "first", 1))
	stalled, release := make(chan struct{}), make(chan struct{})
	f := &follower{rows: map[string]int64{}, last: first}
	once := false
	f.hold = func() {
		if !once {
			once = true
			close(stalled)
			<-release
		}
	}
	begin := mustTransact(t, s, putOp(tableA, "second", 2))
	watched := make(chan error, 1)
	f.until = begin + 500
	go func() { watched <- s.Watch(t.Context(), tableA, "", f.last, f) }()
	<-stalled
	for i := range 500 {
		mustTransact(t, s, putOp(tableA, fmt.Sprint("k", i), int64(i+1)))
	}
	time.AfterFunc(stall+stall/2, func() { close(release) })
	if err := <-watched; !errors.Is(err, errReached) {
		t.Fatalf("watch ended at %d of %d: %v", f.last, f.until, err)
	}
	if f.count != 501 {
		t.Errorf("%d revisions were watched, want 501", f.count)
	}
	if s.stalls.Load() == 0 {
		t.Error("the stall was not counted")
	}
	want := contents(t, s, tableA, 0)
	delete(want, "first")
	if diff := cmp.Diff(want, f.rows); diff != "" {
		t.Errorf("(-store +watched):\n%s", diff)
	}
}

func TestCompactionEndsWatchesThatAreFurtherBack(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	old := mustTransact(t, s, putOp(tableA, "k", 1))
	now := int64(0)
	for i := range 10 {
		now = mustTransact(t, s, putOp(tableA, "k", int64(i+1)))
	}
	if err := s.Compact(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	f := &follower{rows: map[string]int64{}}
	if err := s.Watch(t.Context(), tableA, "", old, f); err != nil || f.gone != now {
		t.Errorf("watch from %d: compacted %d, error %v; want compacted %d", old, f.gone, err, now)
	}
	err := s.Read(t.Context(), tableA, "k", false, old, func([]Row, int64) error { return nil })
	wantError(t, err, ErrRevision)
	err = s.Read(t.Context(), tableA, "k", false, now+1000, func([]Row, int64) error { return nil })
	wantError(t, err, ErrRevision)
	f = &follower{rows: map[string]int64{}}
	if err := s.Watch(t.Context(), tableA, "", now+1000, f); err != nil || f.gone == 0 {
		t.Errorf("watch from the future: compacted %d, error %v; want compacted", f.gone, err)
	}
	follow(t, s, &follower{rows: map[string]int64{}}, now)
}

func TestMaintainKeepsHistoryShort(t *testing.T) {
	s := start(t, t.TempDir(), func(c *Config) { c.KeepRevisions = 40 })
	ctx, cancel := context.WithCancel(t.Context())
	maintained := make(chan struct{})
	go func() { s.Maintain(ctx); close(maintained) }()
	deadline := time.Now().Add(patience)
	for i := int64(1); s.Engine.History().FirstRev() < 100; i++ {
		mustTransact(t, s, putOp(tableA, "k", i))
		if time.Now().After(deadline) {
			t.Fatal("history was not compacted")
		}
	}
	cancel()
	<-maintained
}

func TestDrainEndsWatchesAndRefusesCalls(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	f := &follower{rows: map[string]int64{}}
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(t.Context(), tableA, "", 0, f) }()
	for s.watches.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	stop(s)
	wantError(t, <-ended, ErrUnavailable)
	_, err := s.Transact(t.Context(), writerA, Transaction{Token: 1, Operations: []Operation{putOp(tableA, "k", 1)}})
	wantError(t, err, ErrUnavailable)
}

func TestWatchSeesOnlyItsPrefix(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	mustTransact(t, s, putOp(tableA, "a/1", 1), putOp(tableA, "b/1", 2))
	last := mustTransact(t, s, putOp(tableA, "a/2", 3), putOp(tableA, "b/2", 4))
	f := &follower{rows: map[string]int64{}, until: last}
	if err := s.Watch(t.Context(), tableA, "a/", 0, f); !errors.Is(err, errReached) {
		t.Fatal(err)
	}
	if want := map[string]int64{"a/1": 1, "a/2": 3}; !maps.Equal(want, f.rows) {
		t.Errorf("watched %v, want %v", f.rows, want)
	}
}
