// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"

	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/statetest"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// soon waits until a check is nil.
func soon(t *testing.T, what string, check func() error) {
	t.Helper()
	err := check()
	for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); err = check() {
		time.Sleep(2 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// TestSuccessor: an engine is frozen, another one leads, and what it decides is published by both.
func TestSuccessor(t *testing.T) {
	state, l := statetest.New(), new(lives)
	first := l.open(t, state, Steps{})
	ports := newStone(t, ifaces)
	first.attach(ports)
	first.ready()
	if _, err := first.set(ge0mtu, "1400"); err != nil {
		t.Fatal(err)
	}
	must(t, first.engine.Freeze(t.Context()))
	must(t, first.engine.Freeze(t.Context()))
	soon(t, "the owner leaves", func() error {
		if here, _ := first.engine.Registry.Attached(); len(here) > 0 {
			return fmt.Errorf("%v are attached", here)
		}
		return nil
	})
	if row := head(t, state); row.GetPending() {
		t.Error("a frozen engine left its pending mark")
	}
	second := l.open(t, state, Steps{})
	second.ready()
	successor := newStone(t, ifaces)
	second.attach(successor)
	if _, err := second.set(ge0mtu, "1300"); err != nil {
		t.Fatal(err)
	}
	soon(t, "the predecessor publishes it", func() error {
		if got := first.config(ge0mtu); got != "1300" {
			return errors.New(got)
		}
		return nil
	})
	first.stop()
	if err := <-first.ended; err != nil {
		t.Errorf("the predecessor ended with %v", err)
	}
	if _, err := second.set(ge0mtu, "1200"); err != nil {
		t.Error(err)
	}
}

// TestUnfreeze: a successor fails, after it has made a change; its predecessor, with a newer token, leads on from there.
// A Set that came meanwhile waits.
func TestUnfreeze(t *testing.T) {
	state, l := statetest.New(), new(lives)
	first := l.open(t, state, Steps{})
	ports := newStone(t, ifaces)
	first.attach(ports)
	first.ready()
	if _, err := first.set(ge0mtu, "1400"); err != nil {
		t.Fatal(err)
	}
	must(t, first.engine.Freeze(t.Context()))
	waiting := make(chan error, 1)
	go func() { _, err := first.set(ge0+"/config/description", `"waited"`); waiting <- err }()
	second := l.open(t, state, Steps{})
	second.ready()
	other := newStone(t, ifaces)
	second.attach(other)
	if _, err := second.set(ge0mtu, "1300"); err != nil {
		t.Fatal(err)
	}
	second.crash()
	l.token++
	first.token.Store(l.token)
	first.engine.Unfreeze()
	if err := <-waiting; err != nil {
		t.Errorf("the Set that waited: %v", err)
	}
	first.await(ports)
	contains(t, "what ports has", ports.has(ge0), "1300")
	contains(t, "what ports has", ports.has(ge0), "waited")
	if _, err := first.set(ge0mtu, "1200"); err != nil {
		t.Error(err)
	}
	contains(t, "what ports has", ports.has(ge0), "1200")
}

// TestFreezeInTime: a transaction that does not end in time leaves everything as it was.
func TestFreezeInTime(t *testing.T) {
	state := statetest.New()
	h := new(lives).open(t, state, Steps{})
	ports := newStone(t, ifaces)
	h.attach(ports)
	h.ready()
	silence, asked := make(chan struct{}), make(chan struct{}, 8)
	state.Fail(func(*statev1.TransactRequest) error { asked <- struct{}{}; <-silence; return nil }, nil)
	set := make(chan error, 1)
	go func() { _, err := h.set(ge0mtu, "1400"); set <- err }()
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := h.engine.Freeze(ctx); !errors.Is(err, context.DeadlineExceeded) || h.engine.Frozen() {
		t.Errorf("Freeze: %v, want %v", err, context.DeadlineExceeded)
	}
	close(silence)
	must(t, <-set)
	if _, err := h.set(ge0mtu, "1300"); err != nil {
		t.Errorf("the Set after: %v", err)
	}
}

// TestRehearsal: an engine that was never run knows what one that leads knows, and writes nothing.
func TestRehearsal(t *testing.T) {
	state, l := statetest.New(), new(lives)
	h := l.open(t, state, Steps{})
	ports := newStone(t, ifaces)
	h.attach(ports)
	h.ready()
	if _, err := h.set(ge0mtu, "1400"); err != nil {
		t.Fatal(err)
	}
	state.Fail(func(r *statev1.TransactRequest) error { t.Errorf("a write: %v", r); return nil }, nil)
	candidate := h.candidate(state)
	for _, e := range []*Engine{h.engine, candidate} {
		now, err := e.Rehearse(t.Context())
		must(t, err)
		path, err := e.Model.Resolve(gpath.MustParse(ge0mtu))
		must(t, err)
		if got := string(now.JSONAt(path)); got != "1400" {
			t.Errorf("the MTU is %q, want 1400", got)
		}
	}
	state.Fail(nil, nil)
}

// TestObserver hears each decision on its patterns, the reversals among them, and is cut off when it hears none.
func TestObserver(t *testing.T) {
	h := new(lives).open(t, statetest.New(), Steps{})
	ports, machine := newStone(t, ifaces), newStone(t, system)
	h.attach(ports)
	h.attach(machine)
	h.ready()
	hears := h.engine.Observe()
	defer hears.Close()
	if _, err := h.set(ge0mtu, "1400"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.set(host, `"quarry"`); err != nil {
		t.Fatal(err)
	}
	ports.set(func(s *stone) { s.rejectCommit = no(ge0mtu, 10, "the card is on fire") })
	if _, err := h.set(ge0mtu, "1300"); err == nil {
		t.Fatal("the Set succeeded")
	}
	for _, want := range []string{"1 1400", "2 ", "3 1300", "4 1400"} {
		revision, changes, err := hears.Next(t.Context(), ports.patterns)
		must(t, err)
		text := ""
		for _, c := range changes {
			text += string(c.GetJson())
		}
		number, mtu := want[:1], want[2:]
		if fmt.Sprint(revision) != number || (mtu == "") != (text == "") {
			t.Errorf("heard %d %s, want %s", revision, text, want)
		}
		contains(t, "the change", text, mtu)
	}
	same := h.engine.decided.Load().tree
	for range maxUnread + 1 {
		h.engine.audience.tell(step{from: same, now: same})
	}
	soon(t, "who does not read is cut off", func() error {
		if _, _, err := hears.Next(t.Context(), nil); !errors.Is(err, owners.ErrSlow) {
			return fmt.Errorf("heard %v, want %w", err, owners.ErrSlow)
		}
		return nil
	})
}
