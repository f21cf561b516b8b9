// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

func TestKilledComponentComesBack(t *testing.T) {
	d := newDevice(t, chain()...)
	d.startReady()
	dependant := d.get("conf").GetPid()
	for i := range 5 {
		before := d.get("store")
		if err := unix.Kill(int(before.GetPid()), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// The client's connection waits in the socket's queue for the successor.
		if got := d.say("store", "pid"); got == "" {
			got = d.say("store", "pid") // accepted by the process that was just dying
			if got == "" {
				t.Fatal("no answer")
			}
		}
		after := d.await("store", "to be ready again", successorOf(before.GetPid()))
		if after.GetFencingToken() <= before.GetFencingToken() {
			t.Errorf("token went from %d to %d", before.GetFencingToken(), after.GetFencingToken())
		}
		if after.GetCrashes() != uint64(i+1) || after.GetLastExit() != "signal: killed" || after.GetLastCause() != supervisorv1.Cause_CAUSE_CRASH {
			t.Errorf("crashes %d, last exit %q, cause %v", after.GetCrashes(), after.GetLastExit(), after.GetLastCause())
		}
		if got, want := d.say("store", "token"), fmt.Sprint(after.GetFencingToken(), " <nil>"); got != want {
			t.Errorf("the component has token %q, want %q", got, want)
		}
	}
	if d.get("conf").GetPid() != dependant {
		t.Error("a provider's death restarted its dependant")
	}
}

func TestDeadIsNotReady(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	for range 20 {
		pid := d.get("one").GetPid()
		if err := unix.Kill(int(pid), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for alive(pid) {
			runtime.Gosched()
		}
		if c := d.get("one"); c.GetPid() == pid {
			t.Fatalf("process %d is dead, and its component has it and is %v", pid, c.GetPhase())
		}
		d.await("one", "to be ready again", successorOf(pid))
	}
}

func TestStoppedComponentIsReplaced(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	before := d.get("one")
	began := time.Now()
	if err := unix.Kill(int(before.GetPid()), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	after := d.await("one", "to be ready again", successorOf(before.GetPid()))
	took := time.Since(began)
	if after.GetLastCause() != supervisorv1.Cause_CAUSE_LIVENESS {
		t.Errorf("cause %v", after.GetLastCause())
	}
	// The manifest's 2 s of silence, at most half a second to the first question, a pause and a new process;
	// on an idle machine that is 2.1 to 2.7 s.
	if took < 1500*time.Millisecond || took > 5*time.Second {
		t.Errorf("stopped process was replaced after %v", took)
	}
}

func TestCrashLoopBacksOffAndIsNeverGivenUp(t *testing.T) {
	d := newDevice(t, component{name: "one", more: "restart: {min_backoff: 20ms, max_backoff: 80ms}\n"})
	d.flag("one", "crash-at-start", true)
	d.start()
	c := d.await("one", "to have crashed often", func(c *supervisorv1.ComponentStatus) bool { return c.GetCrashes() >= 8 })
	if c.GetPid() != 0 || c.GetLastExit() != "exit status 1" {
		t.Errorf("pid %d, last exit %q", c.GetPid(), c.GetLastExit())
	}
	if c := d.await("one", "to be in backoff", func(c *supervisorv1.ComponentStatus) bool {
		return c.GetPhase() == supervisorv1.Phase_PHASE_BACKOFF
	}); c.GetReason() != "ended: exit status 1: oned: crashes at start, as asked" {
		t.Errorf("reason %q", c.GetReason())
	}
	if !strings.Contains(d.log("one"), "crashes at start, as asked") {
		t.Error("the component's own words are not in its log")
	}
	d.await("one", "to wait", func(c *supervisorv1.ComponentStatus) bool {
		return c.GetPhase() == supervisorv1.Phase_PHASE_BACKOFF && c.GetNextStart() != nil
	})
	d.flag("one", "crash-at-start", false)
	if c := d.await("one", "to be ready", isReady); c.GetNextStart() != nil {
		t.Errorf("ready, and yet the next start is at %v", c.GetNextStart().AsTime())
	}
}

func TestExitStatusIsTold(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	before := d.get("one")
	d.say("one", "exit 7")
	after := d.await("one", "to be ready again", successorOf(before.GetPid()))
	if after.GetLastExit() != "exit status 7" {
		t.Errorf("last exit %q", after.GetLastExit())
	}
}

func TestOutOfMemoryIsToldApart(t *testing.T) {
	d := newDevice(t, component{name: "one", more: "resources: {memory: 64MiB}\n"})
	d.startReady()
	before := d.get("one")
	d.say("one", "eat")
	after := d.await("one", "to be ready again", successorOf(before.GetPid()))
	if after.GetLastCause() != supervisorv1.Cause_CAUSE_OUT_OF_MEMORY || after.GetLastExit() != "signal: killed" {
		t.Errorf("cause %v, last exit %q", after.GetLastCause(), after.GetLastExit())
	}
}

func TestRestForOne(t *testing.T) {
	d := newDevice(t,
		component{name: "one", provides: "test.one.v1", more: "restart: {rest_for_one: [two]}\n"},
		component{name: "two", requires: []string{"test.one.v1"}})
	d.startReady()
	one, two := d.get("one"), d.get("two")
	if err := unix.Kill(int(one.GetPid()), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := d.await("two", "to be restarted", successorOf(two.GetPid()))
	if after.GetCrashes() != 0 || after.GetRestarts() != 1 {
		t.Errorf("crashes %d, restarts %d: it was drained, it did not crash", after.GetCrashes(), after.GetRestarts())
	}
	d.await("one", "to be ready again", successorOf(one.GetPid()))
}

func TestOperatorRestart(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	before := d.get("one")
	ctx, cancel := wait()
	defer cancel()
	for i := range 3 {
		r, err := d.client.Restart(ctx, &supervisorv1.RestartRequest{Component: "one"})
		if err != nil {
			t.Fatal(err)
		}
		c := r.GetComponent()
		if !isReady(c) || c.GetPid() == before.GetPid() || c.GetCrashes() != 0 || c.GetRestarts() != uint64(i+1) || c.GetLastCause() != supervisorv1.Cause_CAUSE_OPERATOR {
			t.Errorf("after the restart: %v", c)
		}
		if c.GetLastExit() != "exit status 0" {
			t.Errorf("last exit %q, want a clean one", c.GetLastExit())
		}
	}
	for name, want := range map[string]codes.Code{"nobody": codes.NotFound, "": codes.InvalidArgument, "supervisor": codes.FailedPrecondition} {
		_, err := d.client.Restart(ctx, &supervisorv1.RestartRequest{Component: name})
		if status.Code(err) != want {
			t.Errorf("restart of %q: %v, want %v", name, err, want)
		}
	}
}

func TestRestartThatFails(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	d.flag("one", "crash-at-start", true)
	ctx, cancel := wait()
	defer cancel()
	_, err := d.client.Restart(ctx, &supervisorv1.RestartRequest{Component: "one"})
	if status.Code(err) != codes.Aborted {
		t.Errorf("got %v, want ABORTED", err)
	}
	d.flag("one", "crash-at-start", false)
	d.await("one", "to be ready", isReady)
}

func TestStopIsOrderly(t *testing.T) {
	d := newDevice(t, chain()...)
	d.startReady()
	var pids []int32
	for _, c := range d.list() {
		pids = append(pids, c.GetPid())
	}
	d.signal(unix.SIGTERM)
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d outlived the stop", pid)
		}
	}
	log := d.log("supervisor")
	for _, name := range []string{"store", "conf", "plane", "routes"} {
		if !strings.Contains(d.log(name), `"msg":"draining"`) {
			t.Errorf("%s was not drained", name)
		}
	}
	if strings.Contains(log, "SIGKILL") || strings.Contains(log, "SIGTERM") {
		t.Errorf("force was used:\n%s", log)
	}
	expectNothingLeft(t, d)
}

func TestNothingLeaksOverRestarts(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	descriptors := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.command.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	kill := func() {
		pid := d.get("one").GetPid()
		if err := unix.Kill(int(pid), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		d.await("one", "to be ready again", successorOf(pid))
	}
	kill() // the first one settles what is opened once
	before := descriptors()
	for range 20 {
		kill()
	}
	// Connections that are just closing may still count.
	if after := descriptors(); after > before+5 {
		t.Errorf("%d descriptors became %d over 20 restarts", before, after)
	}
}
