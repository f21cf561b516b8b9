// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/config/internal/statetest"
)

// crashAt makes the second transaction's goroutine vanish at a point.
func crashAt(point string, crashed chan<- struct{}) Steps {
	n := 0
	var steps Steps
	*map[string]*func(){"prepared": &steps.Prepared, "decided": &steps.Decided, "applied": &steps.Applied}[point] = func() {
		if n++; n == 2 {
			close(crashed)
			runtime.Goexit()
		}
	}
	return steps
}

// TestEngineDies ends the engine at each point of a commit, and asks its successor: all or nothing, with
// owners that come back at once, that come later, and that cannot have the change in effect any more.
func TestEngineDies(t *testing.T) {
	for _, tt := range []struct {
		point   string
		returns bool
		refuses bool
		all     bool
	}{
		{point: "prepared", returns: true},
		{point: "prepared"},
		{point: "decided", returns: true, all: true},
		{point: "decided", all: true},
		{point: "decided", returns: true, refuses: true},
		{point: "applied", returns: true, all: true},
		{point: "applied", all: true},
	} {
		t.Run(fmt.Sprintf("%s, owners return %t, one refuses %t", tt.point, tt.returns, tt.refuses), func(t *testing.T) {
			t.Parallel()
			state, l := statetest.New(), new(lives)
			crashed := make(chan struct{})
			first := l.open(t, state, crashAt(tt.point, crashed))
			ports, machine := newStone(t, ifaces), newStone(t, system)
			first.attach(ports)
			first.attach(machine)
			first.ready()
			if _, err := first.set(ge0mtu, "1400", host, `"quarry"`); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go first.engine.Set(ctx, "mason", request(ge0mtu, "1300", host, `"cliff"`))
			<-crashed
			first.crash()

			if tt.refuses {
				ports.set(func(s *stone) { s.rejectRestore = no(ge0mtu, codes.FailedPrecondition, "not any more") })
			}
			second := l.open(t, state, Steps{})
			if tt.returns {
				second.attach(ports)
				second.attach(machine)
			}
			second.ready()
			if !tt.returns {
				second.attach(ports)
				second.attach(machine)
			}
			mtu, name := "1400", "quarry"
			if tt.all {
				mtu, name = "1300", "cliff"
			}
			contains(t, "the configuration", second.config("/"), mtu)
			contains(t, "the configuration", second.config("/"), name)
			contains(t, "what ports has", ports.has(ge0), mtu)
			contains(t, "what the machine has", machine.has("/system/config"), name)
			if _, err := second.set(ge0mtu, "1200"); err != nil {
				t.Errorf("the next Set: %v", err)
			}
			contains(t, "what ports has", ports.has(ge0), "1200")
		})
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	state, l := statetest.New(), &lives{absence: 50 * time.Millisecond}
	first := l.open(t, state, Steps{})
	ports, routing := newStone(t, ifaces), newStone(t, static)
	first.attach(ports)
	first.attach(routing)
	first.ready()
	if _, err := first.set(
		ge0+"/config", `{"name":"ge0","description":"to the quarry"}`,
		route10+"/next-hops/next-hop[index=0]/config/next-hop", `"192.0.2.10"`,
	); err != nil {
		t.Fatal(err)
	}
	want := first.config("/")
	first.crash()
	second := l.open(t, state, Steps{})
	second.ready()
	if got := second.config("/"); got != want {
		t.Errorf("after the restart %s\nbefore %s", got, want)
	}
	// Owners are known although they are away: this is no path that nobody implements.
	_, err := second.set(ge0mtu, "1400")
	if refused, ok := err.(*Refused); !ok || refused.Code != codes.Unavailable {
		t.Errorf("a Set before the owner is back: %v, want Unavailable", err)
	}
	second.attach(routing)
	contains(t, "what routing has", routing.has(route10), "192.0.2.10")
	// Deleting the instance deletes what structures it, in the store too.
	if _, err := second.set("/network-instances", ""); err != nil {
		t.Fatal(err)
	}
	if rows := state.Keys("config.objects"); len(rows) != 1 {
		t.Errorf("rows left: %v", rows)
	}
}

func TestGranularityChanges(t *testing.T) {
	state, l := statetest.New(), new(lives)
	first := l.open(t, state, Steps{})
	coarse := newStone(t, "/system")
	first.attach(coarse)
	first.ready()
	if _, err := first.set(host, `"quarry"`); err != nil {
		t.Fatal(err)
	}
	first.crash()
	second := l.open(t, state, Steps{})
	fine := newStone(t, "/system/config")
	second.attach(fine)
	second.ready()
	contains(t, "what the new owner has", fine.has("/system/config"), "quarry")
	if rows := state.Keys("config.objects"); fmt.Sprint(rows) != "[/system/config]" {
		t.Errorf("rows %v, want them cut as the new owner declares", rows)
	}
	if _, err := second.set(host, `"cliff"`); err != nil {
		t.Fatal(err)
	}
	second.crash()
	third := l.open(t, state, Steps{})
	third.ready()
	contains(t, "the configuration", third.config("/"), "cliff")
}
