// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
)

// routes is what a process says it would program, once it can say.
func routes(t *testing.T, p *kittest.Process) *lifecyclev1.Output {
	t.Helper()
	var out *lifecyclev1.RehearseResponse
	kittest.Eventually(t, func() error {
		if out = p.Rehearse(); !out.GetSynced() {
			return errors.New(out.GetMissing())
		}
		return nil
	})
	if len(out.GetOutputs()) != 1 || out.GetOutputs()[0].GetName() != "routes" {
		t.Fatalf("rehearsed %v", out)
	}
	return out.GetOutputs()[0]
}

// agree waits until two processes would program the same.
func agree(t *testing.T, a, b *kittest.Process) {
	t.Helper()
	kittest.Eventually(t, func() error {
		if x, y := routes(t, a), routes(t, b); !bytes.Equal(x.GetDigest(), y.GetDigest()) {
			return fmt.Errorf("%q differs from %q", x.GetSample(), y.GetSample())
		}
		return nil
	})
}

func (h *house) files(t *testing.T) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(h.StateDir("rib"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		i, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(e.Name(), i.Size(), i.ModTime()))
	}
	return all
}

// TestCandidateFollowsAndTouchesNothing has a process without a token beside the one that programs.
func TestCandidateFollowsAndTouchesNothing(t *testing.T) {
	h := newHouse(t).start()
	h.set(t, map[string]string{
		at("10.99.0.0/16"):     route("10.99.0.0/16", "198.51.100.10", "203.0.113.10"),
		at("2001:db8:99::/48"): route("2001:db8:99::/48", "2001:db8:b1::10"),
		at("192.168.0.0/16"):   route("192.168.0.0/16", "DROP"),
	})
	h.produce(t, "bgp", 1).batch([]*ribv1.Route{viaAddress("10.1.0.0/16", "198.51.100.10")})
	files := h.files(t)
	next := h.Stage(New)
	first := routes(t, next)
	agree(t, h.Running(), next)
	for _, want := range []string{
		"10.99.0.0/16 forward 198.51.100.10%ge1 203.0.113.10%ge2",
		"2001:db8:99::/48 forward 2001:db8:b1::10%ge1",
		"192.168.0.0/16 drop",
		"192.0.2.0/24 connected %ge0",
		"192.0.2.1/32 local",
	} {
		if !slices.Contains(first.GetSample(), want) {
			t.Errorf("%q is not among %q", want, first.GetSample())
		}
	}
	// Every input is followed.
	for desc, change := range map[string]func(){
		"configuration": func() { h.set(t, map[string]string{at("10.98.0.0/16"): route("10.98.0.0/16", "203.0.113.10")}) },
		"interfaces":    func() { h.interfaces.set("ge1", false, "198.51.100.1/24", "2001:db8:b1::1/64") },
	} {
		before := routes(t, next).GetDigest()
		change()
		kittest.Eventually(t, func() error {
			if bytes.Equal(before, routes(t, next).GetDigest()) {
				return fmt.Errorf("the candidate does not follow the %s", desc)
			}
			return nil
		})
		agree(t, h.Running(), next)
	}
	if streams, _, _ := h.dataplane.Streams(); streams != 1 {
		t.Errorf("%d streams to the dataplane, want the one of the process that programs", streams)
	}
	if got := h.files(t); !slices.Equal(got, files) {
		t.Errorf("files were %q, are %q", files, got)
	}
	if err := next.Health(); err == nil {
		t.Error("ready without a token")
	}
}

// TestTakeOverMovesNothing replaces the process again and again: the dataplane forwards the same all the time, each
// one programs once and none comes back.
func TestTakeOverMovesNothing(t *testing.T) {
	h := newHouse(t).start()
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "198.51.100.10", "203.0.113.10")})
	want, _ := h.dataplane.Content("10.99.0.0/16")
	watched := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				watched <- nil
				return
			default:
			}
			if got, ok := h.dataplane.Content("10.99.0.0/16"); !ok || !got.Equal(want) {
				watched <- fmt.Errorf("the route became %v, %v", got, ok)
				return
			}
			time.Sleep(100 * time.Microsecond)
		}
	}()
	const rounds = 5
	for range rounds {
		next := h.Stage(New)
		agree(t, h.Running(), next)
		h.TakeOver(next)
	}
	close(stop)
	if err := <-watched; err != nil {
		t.Error(err)
	}
	if streams, _, _ := h.dataplane.Streams(); streams != 1+rounds {
		t.Errorf("%d streams in %d processes", streams, 1+rounds)
	}
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "203.0.113.10")})
	h.links(t, "10.99.0.0/16", "ge2")
}

// TestFreezeLetsACommitEnd freezes while the dataplane keeps a commit waiting.
func TestFreezeLetsACommitEnd(t *testing.T) {
	h := newHouse(t).start()
	release := h.dataplane.Hold()
	defer release()
	set := make(chan error, 1)
	go func() {
		set <- h.Config.Set(h.ctx, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "198.51.100.10")})
	}()
	kittest.Eventually(t, func() error { // until the commit is under way
		if out := h.Running().Rehearse(); !slices.Contains(out.GetOutputs()[0].GetSample(), "10.99.0.0/16 forward 198.51.100.10%ge1") {
			return errors.New("not yet")
		}
		return nil
	})
	if err := h.Running().Freeze(); status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("frozen in the middle of a commit: %v", err)
	}
	release()
	if err := <-set; err != nil {
		t.Fatal(err)
	}
	if err := h.Running().Freeze(); err != nil {
		t.Fatal(err)
	}
	h.Running().Unfreeze()
	h.set(t, map[string]string{at("10.98.0.0/16"): route("10.98.0.0/16", "203.0.113.10")})
}

// TestProducersMoveOver: a producer is sent away when its process is frozen, and nothing of its is swept before the
// successor has heard it again.
func TestProducersMoveOver(t *testing.T) {
	h := newHouse(t)
	h.component(t, "bgp", 4711)
	h.start()
	b := h.produce(t, "bgp", 1)
	b.batch([]*ribv1.Route{viaAddress("10.1.0.0/16", "198.51.100.10"), viaAddress("10.2.0.0/16", "198.51.100.10")})
	b.endOfSync()
	next := h.Stage(New)
	agree(t, h.Running(), next) // whatever a producer has
	// The test's user is the operator, who is not remembered: this is what a component's first stream leaves.
	if err := os.WriteFile(filepath.Join(h.StateDir("rib"), "producers.json"), []byte(`{"bgp":"bgp"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	h.TakeOver(next)
	if _, err := b.st.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the producer's stream ended with %v", err)
	}
	for _, prefix := range []string{"10.1.0.0/16", "10.2.0.0/16"} {
		if _, ok := h.dataplane.Content(prefix); !ok {
			t.Errorf("%s was swept before its producer had its say", prefix)
		}
	}
	b = h.produce(t, "bgp", 2)
	b.batch([]*ribv1.Route{viaAddress("10.1.0.0/16", "198.51.100.10")})
	b.endOfSync()
	h.gone(t, "10.2.0.0/16")
	h.links(t, "10.1.0.0/16", "ge1")
}

// TestUnfreezeTakesProducersBack: a takeover that was given up.
func TestUnfreezeTakesProducersBack(t *testing.T) {
	h := newHouse(t).start()
	b := h.produce(t, "bgp", 1)
	b.batch([]*ribv1.Route{viaAddress("10.1.0.0/16", "198.51.100.10")})
	if err := h.Running().Freeze(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.st.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the producer's stream ended with %v", err)
	}
	h.Running().Unfreeze()
	h.produce(t, "bgp", 2).batch([]*ribv1.Route{viaAddress("10.3.0.0/16", "203.0.113.10")})
	h.links(t, "10.1.0.0/16", "ge1")
	h.links(t, "10.3.0.0/16", "ge2")
	h.WaitReady()
}
