// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/statetest"
	"github.com/ashlar-nos/ashlar/services/config/internal/store"
)

const (
	ge0     = "/interfaces/interface[name=ge0]"
	ge0mtu  = ge0 + "/config/mtu"
	host    = "/system/config/hostname"
	routes  = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]/static-routes"
	route10 = routes + "/static[prefix=10.0.0.0/8]"
)

func TestTwoOwnersInOneSet(t *testing.T) {
	state := statetest.New()
	h := new(lives).open(t, state, Steps{})
	ports, machine := newStone(t, ifaces), newStone(t, system)
	h.attach(ports)
	h.attach(machine)
	h.ready()
	out, err := h.set(ge0mtu, "1400", host, `"quarry"`)
	if err != nil {
		t.Fatal(err)
	}
	if out.Revision != 1 {
		t.Errorf("revision %d, want 1", out.Revision)
	}
	contains(t, "what ports has", ports.has(ge0), `"mtu":1400`)
	contains(t, "what the machine has", machine.has("/system/config"), `quarry`)
	contains(t, "the configuration", h.config("/"), `1400`)
	if rows := state.Keys("config.objects"); fmt.Sprint(rows) != "[/interfaces/interface[name=ge0] /system/config]" {
		t.Errorf("stored rows %v", rows)
	}
	// The same again changes nothing and makes no revision.
	if out, err = h.set(ge0mtu, "1400"); err != nil || out.Revision != 1 {
		t.Errorf("the same Set again: %+v, %v", out, err)
	}
	if _, err = h.set("/interfaces", ""); err != nil {
		t.Fatal(err)
	}
	if got := ports.has(ge0) + h.config("/interfaces/interface[name=ge0]"); got != "" {
		t.Errorf("after the delete there is %q", got)
	}
}

func TestRefusalLeavesNothingChanged(t *testing.T) {
	state := statetest.New()
	h := new(lives).open(t, state, Steps{})
	ports, machine := newStone(t, ifaces), newStone(t, system)
	h.attach(ports)
	h.attach(machine)
	h.ready()
	ports.set(func(s *stone) { s.rejectPrepare = no(ge0mtu, codes.FailedPrecondition, "the port takes at most 1500") })
	_, err := h.set(ge0mtu, "9000", host, `"quarry"`)
	var refusal *owners.Refusal
	if !errors.As(err, &refusal) || refusal.Code != codes.FailedPrecondition {
		t.Fatalf("error %v, want the owner's refusal", err)
	}
	contains(t, "the error", err.Error(), ge0mtu)
	if got := machine.has("/system/config") + ports.has(ge0) + h.config("/"); got != "" && got != "{}" {
		t.Errorf("something changed: %q", got)
	}
	if h.engine.Revision() != 0 || len(state.Keys("config.revisions")) != 0 {
		t.Errorf("a revision was made")
	}
	// The next Set is none the worse for it.
	ports.set(func(s *stone) { s.rejectPrepare = nil })
	if _, err := h.set(ge0mtu, "1500", host, `"quarry"`); err != nil {
		t.Fatal(err)
	}
}

func TestNobodyToAsk(t *testing.T) {
	h := (&lives{absence: 50 * time.Millisecond}).open(t, statetest.New(), Steps{})
	ports, machine := newStone(t, ifaces), newStone(t, system)
	h.attach(ports)
	h.attach(machine)
	h.ready()
	_, err := h.set(ge0mtu, "1400", route10+"/config/prefix", `"10.0.0.0/8"`)
	var refused *Refused
	if !errors.As(err, &refused) || refused.Code != codes.Unimplemented {
		t.Errorf("a path that nobody declared: %v, want Unimplemented", err)
	}
	back := ports.leave(true)
	changed := h.engine.Registry.Changed()
	if _, err := h.engine.Registry.Session(owners.Declaration{Pattern: ports.patterns[0]}); err == nil {
		<-changed
	}
	_, err = h.set(host, `"quarry"`, ge0mtu, "1400")
	if !errors.As(err, &refused) || refused.Code != codes.Unavailable {
		t.Errorf("an owner that is away: %v, want Unavailable", err)
	} else {
		contains(t, "the error", err.Error(), ge0)
	}
	if machine.has("/system/config") != "" {
		t.Error("the other owner was changed")
	}
	if _, err := h.set(host, `"quarry"`); err != nil {
		t.Errorf("a Set to the owner that is here: %v", err)
	}
	back()
	h.await(ports)
	if _, err := h.set(ge0mtu, "1400"); err != nil {
		t.Errorf("once the owner is back: %v", err)
	}
}

// TestOwnerDies cuts an owner's stream at each point of a commit, once for an owner that comes back, once
// for one that stays away.
func TestOwnerDies(t *testing.T) {
	for _, point := range []string{"prepared", "decided", "applied"} {
		for _, returns := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, returns %t", point, returns), func(t *testing.T) {
				t.Parallel()
				ports, machine := newStone(t, ifaces), newStone(t, system)
				var armed, fired bool
				die := func() {
					if armed && !fired {
						fired = true
						ports.leave(!returns)
					}
				}
				var steps Steps
				*map[string]*func(){"prepared": &steps.Prepared, "decided": &steps.Decided, "applied": &steps.Applied}[point] = die
				h := (&lives{patience: patienceWith(returns)}).open(t, statetest.New(), steps)
				h.attach(ports)
				h.attach(machine)
				h.ready()
				if _, err := h.set(ge0mtu, "1400", host, `"quarry"`); err != nil {
					t.Fatal(err)
				}
				armed = true
				_, err := h.set(ge0mtu, "1300", host, `"cliff"`)
				all := returns || point == "applied"
				if all != (err == nil) {
					t.Fatalf("Set: %v; the owner returns: %t", err, returns)
				}
				var reversed *Reversed
				if err != nil && !errors.As(err, &reversed) {
					t.Errorf("the error does not say that the change was taken back: %v", err)
				}
				mtu, name := "1300", "cliff"
				if !all {
					mtu, name = "1400", "quarry"
				}
				contains(t, "the configuration", h.config("/"), mtu)
				contains(t, "the configuration", h.config("/"), name)
				contains(t, "what the machine has", machine.has("/system/config"), name)
				if returns {
					h.await(ports)
					contains(t, "what ports has", ports.has(ge0), mtu)
				}
			})
		}
	}
}

// patienceWith is short where nobody will come.
func patienceWith(returns bool) time.Duration {
	if returns {
		return 20 * time.Second
	}
	return 300 * time.Millisecond
}

func TestOwnerFailsAfterTheDecision(t *testing.T) {
	state := statetest.New()
	h := new(lives).open(t, state, Steps{})
	ports, machine := newStone(t, ifaces), newStone(t, system)
	h.attach(ports)
	h.attach(machine)
	h.ready()
	if _, err := h.set(host, `"quarry"`); err != nil {
		t.Fatal(err)
	}
	ports.set(func(s *stone) { s.rejectCommit = no(ge0mtu, codes.Aborted, "the card is on fire") })
	_, err := h.set(ge0mtu, "1400", host, `"cliff"`)
	var reversed *Reversed
	var refusal *owners.Refusal
	if !errors.As(err, &reversed) || !errors.As(err, &refusal) || refusal.Code != codes.Aborted {
		t.Fatalf("error %v, want a reversal for the owner's reason", err)
	}
	contains(t, "what the machine has", machine.has("/system/config"), "quarry")
	contains(t, "the configuration", h.config("/"), "quarry")
	if ports.has(ge0) != "" || h.config(ge0) != "" {
		t.Error("the interface is there")
	}
	if h.engine.Revision() != 3 || len(state.Keys("config.revisions")) != 3 {
		t.Errorf("revision %d, records %v; want 3: the change before, the change, its inverse", h.engine.Revision(), state.Keys("config.revisions"))
	}
}

func TestConcurrentSets(t *testing.T) {
	h := new(lives).open(t, statetest.New(), Steps{})
	ports := newStone(t, ifaces)
	h.attach(ports)
	h.ready()
	const clients, each = 8, 10
	var wait sync.WaitGroup
	for c := range clients {
		wait.Go(func() {
			for i := range each {
				if _, err := h.set(fmt.Sprintf("/interfaces/interface[name=ge%d]/config/mtu", c), fmt.Sprint(1000+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if h.engine.Revision() != clients*each {
		t.Errorf("revision %d, want %d", h.engine.Revision(), clients*each)
	}
	for c := range clients {
		contains(t, "an interface", ports.has(fmt.Sprintf("/interfaces/interface[name=ge%d]", c)), "1009")
	}
}

func TestStoreTroubles(t *testing.T) {
	state := statetest.New()
	h := new(lives).open(t, state, Steps{})
	ports := newStone(t, ifaces)
	h.attach(ports)
	h.ready()
	// An answer that is lost: asked again until it is known, done once.
	lost := 3
	state.Fail(nil, func(*statev1.TransactRequest) error {
		if lost--; lost >= 0 {
			return status.Error(codes.Unavailable, "the answer is lost")
		}
		return nil
	})
	if _, err := h.set(ge0mtu, "1400"); err != nil {
		t.Fatal(err)
	}
	if len(state.Keys("config.revisions")) != 1 {
		t.Errorf("records %v, want one", state.Keys("config.revisions"))
	}
	// A refusal: nothing changed, and the owner has forgotten what it prepared.
	state.Fail(func(*statev1.TransactRequest) error { return status.Error(codes.ResourceExhausted, "no space") }, nil)
	if _, err := h.set(ge0mtu, "1300"); !errors.Is(err, store.ErrRefused) {
		t.Errorf("a full store: %v, want %v", err, store.ErrRefused)
	}
	state.Fail(nil, nil)
	contains(t, "what ports has", ports.has(ge0), "1400")
	if _, err := h.set(ge0mtu, "1200"); err != nil {
		t.Errorf("once there is space: %v", err)
	}
	contains(t, "what ports has", ports.has(ge0), "1200")
	// Another writer took the store: the engine ends, for its successor to read the truth.
	state.Fail(func(*statev1.TransactRequest) error { return status.Error(codes.FailedPrecondition, "stale token") }, nil)
	if _, err := h.set(ge0mtu, "1100"); !errors.Is(err, store.ErrLost) {
		t.Errorf("a lost store: %v, want %v", err, store.ErrLost)
	}
	if err := <-h.ended; !errors.Is(err, store.ErrLost) {
		t.Errorf("the engine ended with %v, want %v", err, store.ErrLost)
	}
}

func TestClientGivesUp(t *testing.T) {
	state := statetest.New()
	h := new(lives).open(t, state, Steps{})
	ports := newStone(t, ifaces)
	h.attach(ports)
	h.ready()
	ports.set(func(s *stone) { s.mute = true })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := h.engine.Set(ctx, "mason", request(ge0mtu, "1400"))
		done <- err
	}()
	for asked := 0; asked == 0; {
		ports.set(func(s *stone) { asked = s.prepared })
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Set: %v, want canceled", err)
	}
	ports.set(func(s *stone) { s.mute = false })
	if _, err := h.set(ge0mtu, "1300"); err != nil {
		t.Errorf("the Set after: %v", err)
	}
	if h.engine.Revision() != 1 {
		t.Errorf("revision %d, want 1", h.engine.Revision())
	}
}

// TestTooLarge: what the store could never take, there or back, is refused before an owner hears of it.
func TestTooLarge(t *testing.T) {
	h := new(lives).open(t, statetest.New(), Steps{})
	ports := newStone(t, ifaces)
	h.attach(ports)
	h.ready()
	many := []byte(`{"openconfig-interfaces:interface":[{"name":"p"}`)
	for i := range store.MaxObjects {
		many = fmt.Appendf(many, `,{"name":"p%d"}`, i)
	}
	const half = store.MaxBytes/2 - 1<<20
	long := func(letter string, size int) string { return `"` + strings.Repeat(letter, size) + `"` }
	refused := func(desc string, values ...string) {
		t.Helper()
		asked, before := 0, h.engine.Revision()
		ports.set(func(s *stone) { asked = s.prepared })
		_, err := h.set(values...)
		if !errors.Is(err, store.ErrTooLarge) || !strings.Contains(err.Error(), "at most") || !strings.Contains(err.Error(), "split the Set") {
			t.Errorf("%s: error %v, want it too large, the limit, and what to do", desc, err)
		}
		ports.set(func(s *stone) { asked -= s.prepared })
		if asked != 0 || h.engine.Revision() != before {
			t.Errorf("%s: the owner was asked, or something changed", desc)
		}
	}
	refused("too many objects", "/interfaces", string(append(many, "]}"...)))
	refused("too many bytes", ge0+"/config/description", long("a", store.MaxBytes))
	for i, letter := range []string{"a", "b"} {
		if _, err := h.set(fmt.Sprintf("/interfaces/interface[name=ge%d]/config/description", i), long(letter, half)); err != nil {
			t.Fatal(err)
		}
	}
	refused("the inverse is too large", "/interfaces", "", ge0+"/config/mtu", "1400", "/interfaces/interface[name=ge2]/config/description", long("c", 3<<20))
}

// TestBoundedWithoutAnAnswer: while the store is silent, clients hear so in time, whether they have a deadline
// or not; once it answers, all goes on.
func TestBoundedWithoutAnAnswer(t *testing.T) {
	state := statetest.New()
	h := (&lives{limit: 300 * time.Millisecond}).open(t, state, Steps{})
	ports := newStone(t, ifaces)
	h.attach(ports)
	h.ready()
	silence := make(chan struct{})
	state.Fail(func(*statev1.TransactRequest) error { <-silence; return nil }, nil)
	_, err := h.engine.Set(context.Background(), "mason", request(ge0mtu, "1400"))
	if !errors.Is(err, ErrUnknown) {
		t.Errorf("a Set that the store does not answer: %v, want %v", err, ErrUnknown)
	}
	contains(t, "the error", fmt.Sprint(err), "the state store does not answer")
	if _, err = h.set(ge0mtu, "1300"); !errors.Is(err, ErrWaiting) {
		t.Errorf("a Set behind it: %v, want %v", err, ErrWaiting)
	}
	contains(t, "the error", fmt.Sprint(err), "the state store does not answer; nothing changed")
	h.engine.Limit = 30 * time.Second
	short, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err = h.engine.Set(short, "mason", request(ge0mtu, "1200")); !errors.Is(err, ErrWaiting) || short.Err() != nil {
		t.Errorf("a Set with a deadline: %v, want %v before the deadline (%v)", err, ErrWaiting, short.Err())
	}
	close(silence)
	if _, err := h.set(host, "", ge0+"/config/description", `"awake"`); err != nil {
		t.Fatal(err)
	}
	contains(t, "what ports has", ports.has(ge0), "1400")
	contains(t, "what ports has", ports.has(ge0), "awake")
}

func TestQueueIsBounded(t *testing.T) {
	turn := newTurn()
	turn.waiting.Store(maxWaiting)
	if _, err := turn.take(t.Context(), stageChecking); !errors.Is(err, ErrBusy) {
		t.Errorf("one too many: %v, want %v", err, ErrBusy)
	}
}
