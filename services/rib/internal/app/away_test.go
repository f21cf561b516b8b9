// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/kit/kittest"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib/fibtest"
)

func TestRefusalsReachTheClient(t *testing.T) {
	h := newHouse(t).start()
	path := at("10.99.0.0/16")
	refusedWith(t, h.Config.Set(h.ctx, map[string]string{path: route("10.99.0.0/16", "192.0.2.1")}),
		codes.InvalidArgument, path+"/next-hops/next-hop[index=0]/config/next-hop", "own address, on ge0")
	if _, ok := h.dataplane.Content("10.99.0.0/16"); ok {
		t.Error("a refused route is in the tables")
	}
}

func TestPendingUntilReachable(t *testing.T) {
	h := newHouse(t).start()
	h.set(t, map[string]string{
		at("10.99.0.0/16"): route("10.99.0.0/16", "10.1.1.1%ge9"),
		at("10.98.0.0/16"): route("10.98.0.0/16", "172.16.0.1"),
	})
	if _, ok := h.dataplane.Content("10.99.0.0/16"); ok {
		t.Fatal("a route over an absent interface is in the tables")
	}
	h.interfaces.set("ge9", true, "172.16.0.2/24")
	h.links(t, "10.99.0.0/16", "ge9")
	h.links(t, "10.98.0.0/16", "ge9")
	h.interfaces.remove("ge9")
	h.gone(t, "10.99.0.0/16")
	h.gone(t, "10.98.0.0/16")
	h.gone(t, "172.16.0.0/24")
}

func TestLinkFailureMovesTraffic(t *testing.T) {
	h := newHouse(t).start()
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "198.51.100.10", "203.0.113.10")})
	h.interfaces.set("ge1", false, "198.51.100.1/24")
	h.links(t, "10.99.0.0/16", "ge2")
	h.gone(t, "198.51.100.0/24")
	h.interfaces.set("ge2", false, "203.0.113.1/24")
	h.gone(t, "10.99.0.0/16")
	h.interfaces.set("ge1", true, "198.51.100.1/24")
	h.interfaces.set("ge2", true, "203.0.113.1/24")
	h.links(t, "10.99.0.0/16", "ge1", "ge2")
}

func TestDataplaneDiesAndReturns(t *testing.T) {
	h := newHouse(t).start()
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "198.51.100.10")})
	h.dataplane.Kill()
	kittest.Eventually(t, func() error {
		if err := h.Health(); err == nil || !strings.Contains(err.Error(), "away") {
			return fmt.Errorf("health %v", err)
		}
		return nil
	})
	// The commit waits for the dataplane: it comes back in time.
	committed := make(chan error, 1)
	go func() {
		committed <- h.Config.Set(h.ctx, map[string]string{at("10.98.0.0/16"): route("10.98.0.0/16", "203.0.113.10")})
	}()
	h.links(t, "10.99.0.0/16", "ge1") // forwards without a programmer
	h.dataplane.Revive()
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	h.links(t, "10.98.0.0/16", "ge2")
	h.WaitReady()
	if streams, _, _ := h.dataplane.Streams(); streams != 2 {
		t.Errorf("%d sessions", streams)
	}
}

func TestDataplaneComesBackEmpty(t *testing.T) {
	h := newHouse(t).start()
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "198.51.100.10")})
	h.dataplane.Kill()
	h.dataplane.Engine(func(e *fibtest.Engine) { clear(e.Routes); clear(e.Groups) })
	h.dataplane.Revive()
	h.links(t, "10.99.0.0/16", "ge1")
	h.WaitReady()
}

func TestNotReadyWhileTheDataplaneHangs(t *testing.T) {
	t.Parallel() // it waits out the probe's patience
	h := newHouse(t).start()
	release := h.dataplane.Hold()
	defer release()
	kittest.Eventually(t, func() error {
		if h.Health() == nil {
			return errors.New("ready although nothing is answered")
		}
		return nil
	})
	release()
	h.WaitReady()
}

func TestCommitFailsWhileTheDataplaneIsAway(t *testing.T) {
	t.Parallel() // it waits out the commit's limit
	h := newHouse(t).start()
	h.dataplane.Kill()
	began := time.Now()
	path := at("10.98.0.0/16")
	refusedWith(t, h.Config.Set(h.ctx, map[string]string{path: route("10.98.0.0/16", "203.0.113.10")}), codes.Unavailable, "away")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the answer took %s", took)
	}
	if err := h.Config.Apply(h.ctx, map[string]string{path: ""}); err != nil { // what the configuration service sends then
		t.Fatal(err)
	}
	h.dataplane.Revive()
	h.WaitReady()
	h.gone(t, "10.98.0.0/16")
}

func TestFullTableIsRefusedByName(t *testing.T) {
	h := newHouse(t).start()
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "198.51.100.10")})
	h.dataplane.Engine(func(e *fibtest.Engine) { e.MaxRoutes = len(e.Routes) })
	refusedWith(t, h.Config.Set(h.ctx, map[string]string{at("10.98.0.0/16"): route("10.98.0.0/16", "203.0.113.10")}),
		codes.ResourceExhausted, "limit of", "routes")
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "203.0.113.10")})
	h.links(t, "10.99.0.0/16", "ge2")
	h.WaitReady()
}
