// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/statetest"
)

// TestOwnerIsReplaced takes an owner away at each phase of a Set and lets another take its place: the Set succeeds, and
// the owner has the change once.
func TestOwnerIsReplaced(t *testing.T) {
	for _, phase := range []string{"before it is asked", "asked", "prepared", "decided"} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			ports, machine := newStone(t, ifaces), newStone(t, system)
			var armed bool
			replace := func() {
				if armed {
					armed = false
					time.AfterFunc(300*time.Millisecond, ports.leave(true))
				}
			}
			var steps Steps
			if step, ok := map[string]*func(){"prepared": &steps.Prepared, "decided": &steps.Decided}[phase]; ok {
				*step = replace
			}
			h := new(lives).open(t, statetest.New(), steps)
			h.attach(ports)
			h.attach(machine)
			h.ready()
			if _, err := h.set(ge0mtu, "1400"); err != nil {
				t.Fatal(err)
			}
			armed = true
			switch phase {
			case "before it is asked":
				replace()
			case "asked":
				ports.set(func(s *stone) { s.onPrepare = replace })
			}
			if _, err := h.set(ge0mtu, "1300", host, `"cliff"`); err != nil {
				t.Fatalf("Set: %v", err)
			}
			contains(t, "the configuration", h.config("/"), "1300")
			contains(t, "what ports has", ports.has(ge0), "1300")
			contains(t, "what the machine has", machine.has("/system/config"), "cliff")
			if h.engine.Revision() != 2 {
				t.Errorf("revision %d, want 2", h.engine.Revision())
			}
		})
	}
}

// TestOthersGoOnWhileAnOwnerIsAway: a Set that waits for its owner keeps nobody waiting who has another one.
func TestOthersGoOnWhileAnOwnerIsAway(t *testing.T) {
	h := (&lives{absence: 20 * time.Second}).open(t, statetest.New(), Steps{})
	ports, machine := newStone(t, ifaces), newStone(t, system)
	h.attach(ports)
	h.attach(machine)
	h.ready()
	back := ports.leave(true)
	waits := make(chan error, 1)
	go func() { _, err := h.set(ge0mtu, "1400"); waits <- err }()
	if _, err := h.set(host, `"quarry"`); err != nil {
		t.Errorf("a Set to the owner that is here: %v", err)
	}
	select {
	case err := <-waits:
		t.Errorf("the Set to the owner that is away ended: %v", err)
	default:
	}
	back()
	if err := <-waits; err != nil {
		t.Errorf("once the owner is back: %v", err)
	}
}

// TestOwnerDeclaresAnew: the version that takes an owner's place cuts its objects in another way, which it must be able
// to declare while a Set waits for it.
func TestOwnerDeclaresAnew(t *testing.T) {
	h := new(lives).open(t, statetest.New(), Steps{})
	coarse := newStone(t, "/system")
	h.attach(coarse)
	h.ready()
	if _, err := h.set(host, `"quarry"`); err != nil {
		t.Fatal(err)
	}
	coarse.leave(true)
	set := make(chan error, 1)
	go func() { _, err := h.set(host, `"cliff"`); set <- err }()
	time.Sleep(50 * time.Millisecond)
	fine := newStone(t, "/system/config")
	h.attach(fine)
	if err := <-set; err != nil {
		t.Errorf("Set: %v", err)
	}
	contains(t, "what the new owner has", fine.has("/system/config"), "cliff")
}

// TestOwnerStaysAway: waiting has an end, and the error says for whom.
func TestOwnerStaysAway(t *testing.T) {
	h := (&lives{absence: 100 * time.Millisecond}).open(t, statetest.New(), Steps{})
	ports := newStone(t, ifaces)
	h.attach(ports)
	h.ready()
	ports.set(func(s *stone) { s.onPrepare = func() { ports.leave(true) } })
	began := time.Now()
	_, err := h.set(ge0mtu, "1400")
	var refused *Refused
	if !errors.As(err, &refused) || refused.Code != codes.Unavailable {
		t.Errorf("error %v, want Unavailable", err)
	}
	if took := time.Since(began); took < 100*time.Millisecond || took > 5*time.Second {
		t.Errorf("the answer came after %s", took)
	}
	if h.engine.Revision() != 0 {
		t.Errorf("revision %d, want none", h.engine.Revision())
	}
	if _, err := h.engine.Registry.Session(owners.Declaration{Pattern: ports.patterns[0]}); !errors.Is(err, owners.ErrAway) {
		t.Errorf("the session of the owner that left: %v", err)
	}
}
