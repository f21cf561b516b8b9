// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

// lifecycle speaks to the process in a slot as the supervisor does.
func (d *device) lifecycle(slot string) lifecyclev1.LifecycleClient {
	d.t.Helper()
	conn, err := grpc.NewClient("unix://"+d.layout.Socket("one.life."+slot+".sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	return lifecyclev1.NewLifecycleClient(conn)
}

// rewrite changes the record of a device whose supervisor does not run.
func (d *device) rewrite(fn func(*children.Child)) {
	d.t.Helper()
	book, err := children.Open(filepath.Join(d.layout.ComponentState("supervisor"), "children.json"))
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := book.Change("one", fn); err != nil {
		d.t.Fatal(err)
	}
}

// decided is the record as a cutover writes it, with the candidate in the place of the running process.
func decided(c *children.Child) {
	old, next := c.Process, *c.Candidate
	next.Token = old.Token + 1
	c.Process, c.Draining, c.Candidate, c.Moving = next, &old, nil, false
	c.Choice = &children.Choice{Tree: next.Tree, Instead: old.Tree}
	c.Trial = &children.Trial{Tree: old.Tree, Version: old.Version, Since: time.Now()}
}

// A supervisor that is killed in a cutover leaves one of two things: the version before at work, when nothing was
// decided, or else the new one. Nobody who calls is refused or cut off.
func TestSupervisorIsKilledInACutover(t *testing.T) {
	for _, test := range []struct {
		desc string
		// reach brings the device, whose supervisor is dead, to a point of the cutover.
		reach   func(t *testing.T, d *device)
		version string
		crashes uint64
	}{
		{"staged", func(*testing.T, *device) {}, "1.0.0", 0},
		{"frozen", freeze, "1.0.0", 0},
		{"decided", func(t *testing.T, d *device) {
			freeze(t, d)
			d.rewrite(decided)
		}, "1.1.0", 0},
		{"activated", func(t *testing.T, d *device) {
			freeze(t, d)
			d.rewrite(decided)
			ctx, cancel := wait()
			defer cancel()
			token := recorded(t, d, "one").Token
			if _, err := d.lifecycle("b").Activate(ctx, &lifecyclev1.ActivateRequest{FencingToken: token}); err != nil {
				t.Fatal(err)
			}
		}, "1.1.0", 0},
		{"the old one ended, nothing decided", func(t *testing.T, d *device) {
			d.rewrite(func(c *children.Child) { c.Moving = true })
			ctx, cancel := wait()
			defer cancel()
			pid := int32(recorded(t, d, "one").PID)
			if _, err := d.lifecycle("a").Drain(ctx, &lifecyclev1.DrainRequest{}); err != nil {
				t.Fatal(err)
			}
			for alive(pid) {
				time.Sleep(time.Millisecond)
			}
		}, "1.0.0", 0},
	} {
		t.Run(test.desc, func(t *testing.T) {
			d := newDevice(t, component{name: "one"})
			d.startReady()
			before := d.get("one")
			stop := d.traffic("one", "pid")
			candidate := d.mustStage(component{name: "one", version: "1.1.0"})
			d.kill()
			test.reach(t, d)
			d.startReady()
			c := d.await("one", "to settle", func(c *supervisorv1.ComponentStatus) bool {
				return isReady(c) && c.GetVersion() == test.version && c.GetDraining() == 0
			})
			for _, pid := range []int32{before.GetPid(), candidate.GetPid()} {
				if pid != c.GetPid() && alive(pid) {
					t.Errorf("process %d lives beside %d", pid, c.GetPid())
				}
			}
			if c.GetCandidate() != nil || c.GetCrashes() != test.crashes || (c.GetTrial() != nil) != (test.version == "1.1.0") {
				t.Errorf("it settled at %v", c)
			}
			if got := d.say("one", "version"); got != test.version {
				t.Errorf("version %q answers", got)
			}
			if answers, err := stop(); err != nil || answers == 0 {
				t.Errorf("after %d answers: %v", answers, err)
			}
			d.upgrade(component{name: "one", version: "1.2.0"})
		})
	}
}

func freeze(t *testing.T, d *device) {
	t.Helper()
	ctx, cancel := wait()
	defer cancel()
	if _, err := d.lifecycle("a").Freeze(ctx, &lifecyclev1.FreezeRequest{LimitMs: 2000}); err != nil {
		t.Fatal(err)
	}
}

func TestPredecessorIsKilledPastItsLimit(t *testing.T) {
	one := component{name: "one", more: "health: {timeout: 60s}\n"}
	d := newDevice(t, one)
	d.startReady()
	before := d.get("one")
	d.flag("one", "1.0.0.drain-hangs", true)
	next := component{name: "one", version: "1.1.0", more: one.more}
	d.upgrade(next)
	c := d.get("one")
	if c.GetDraining() != before.GetPid() || !alive(before.GetPid()) || !isReady(c) {
		t.Errorf("while it drains: %v", c)
	}
	d.await("one", "its predecessor to be killed", func(c *supervisorv1.ComponentStatus) bool { return c.GetDraining() == 0 })
	if alive(before.GetPid()) || d.get("one").GetPid() != c.GetPid() {
		t.Error("not the predecessor was killed")
	}
	// Another upgrade does not wait for one that drains.
	d.flag("one", "1.1.0.drain-hangs", true)
	third := component{name: "one", version: "1.2.0", more: one.more}
	d.upgrade(third)
	began := time.Now()
	d.upgrade(component{name: "one", version: "1.3.0", more: one.more})
	if took := time.Since(began); alive(c.GetPid()) || took > 2*time.Second {
		t.Errorf("the one that drains: alive %t, after %v", alive(c.GetPid()), took)
	}
}

func TestCandidateThatEndsIsTold(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	candidate := d.mustStage(component{name: "one", version: "1.1.0"})
	if err := unix.Kill(int(candidate.GetPid()), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c := d.await("one", "to tell it", func(c *supervisorv1.ComponentStatus) bool { return c.GetCandidate().GetEnded() != "" })
	if c.GetCandidate().GetEnded() != "ended: signal: killed" || c.GetCrashes() != 0 || !isReady(c) {
		t.Errorf("%v", c)
	}
	d.upgrade(component{name: "one", version: "1.1.0"})
}
