// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

// inode names the kernel's socket behind a listening path, as /proc/net/unix lists it.
func inode(t *testing.T, path string) string {
	t.Helper()
	table, err := os.ReadFile("/proc/self/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	const acceptsConnections = "00010000"
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) == 8 && f[7] == path && f[3] == acceptsConnections {
			return f[6]
		}
	}
	t.Fatalf("nobody listens on %s", path)
	return ""
}

// sockets of a component by file name.
func (d *device) sockets(name string) []string {
	return []string{inode(d.t, d.layout.Socket(name+".sock")), inode(d.t, d.layout.Socket(name+".echo.sock"))}
}

func TestComponentsOutliveTheSupervisor(t *testing.T) {
	d := newDevice(t, append(chain(), component{name: "tcp", more: "  - {name: tcp, tcp: \"127.0.0.1:0\"}\n"})...)
	d.startReady()
	before, sockets := d.get("store"), d.sockets("store")

	d.kill()
	if got := d.say("store", "pid"); got != fmt.Sprint("pid ", before.GetPid()) {
		t.Fatalf("without a supervisor: %q", got)
	}
	d.startReady()

	after := d.get("store")
	if after.GetPid() != before.GetPid() || !after.GetAdopted() || after.GetFencingToken() != before.GetFencingToken() {
		t.Errorf("before %v, after %v", before, after)
	}
	if after.GetCrashes() != 0 || after.GetRestarts() != 0 || after.GetReadyAfterMs() != before.GetReadyAfterMs() {
		t.Errorf("adoption left marks: %v", after)
	}
	d.awaitLog("supervisor", `"child":"store","sockets":3}`)
	d.awaitLog("supervisor", `"child":"tcp","sockets":4}`)

	// Whoever holds the socket now, it must be the same one after the adopted process has died.
	if err := unix.Kill(int(after.GetPid()), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := d.say("store", "pid"); got == "" && d.say("store", "pid") == "" {
		t.Error("no answer")
	}
	successor := d.await("store", "to be ready again", successorOf(after.GetPid()))
	if got := d.sockets("store"); fmt.Sprint(got) != fmt.Sprint(sockets) {
		t.Errorf("sockets %v became %v", sockets, got)
	}
	if successor.GetAdopted() || successor.GetFencingToken() <= before.GetFencingToken() || successor.GetCrashes() != 1 {
		t.Errorf("successor %v", successor)
	}
	if successor.GetLastExit() != "signal: killed" {
		t.Errorf("the adopted process's end is told as %q", successor.GetLastExit())
	}
}

func TestSocketsAreTakenFromAStoppedComponent(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	before, sockets := d.get("one"), d.sockets("one")
	d.kill()
	if err := unix.Kill(int(before.GetPid()), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	d.start()
	after := d.await("one", "to be replaced", successorOf(before.GetPid()))
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("an adopted process that hangs was replaced after %v", took)
	}
	if got := d.sockets("one"); fmt.Sprint(got) != fmt.Sprint(sockets) {
		t.Errorf("sockets %v became %v", sockets, got)
	}
	if after.GetLastCause() != supervisorv1.Cause_CAUSE_LIVENESS {
		t.Errorf("cause %v", after.GetLastCause())
	}
}

// A client that dials without pause must never be refused while component and supervisor die in turn.
func TestNoRefusalWhileEveryoneDiesInTurn(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	stop, result := make(chan struct{}), make(chan error, 1)
	dials := 0
	go func() {
		for {
			c, err := net.Dial("unix", d.layout.Socket("one.echo.sock"))
			if err != nil {
				result <- err
				return
			}
			c.Close()
			dials++
			select {
			case <-stop:
				result <- nil
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	for range 3 {
		pid := d.get("one").GetPid()
		if err := unix.Kill(int(pid), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		d.await("one", "to be ready again", successorOf(pid))
		d.kill()
		d.start()
		d.awaitLog("supervisor", `"msg":"sockets returned"`)
		if err := os.Truncate(d.layout.LogFile("supervisor"), 0); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-result; err != nil {
		t.Errorf("after %d dials: %v", dials, err)
	}
}

func TestEverythingDiesAtOnce(t *testing.T) {
	d := newDevice(t, chain()...)
	d.startReady()
	var highest uint64
	uids := map[string]uint32{}
	d.command.Process.Signal(unix.SIGSTOP) // it must not restart one while the others are killed
	for _, c := range []string{"store", "plane", "conf", "routes"} {
		s := recorded(t, d, c)
		highest = max(highest, s.Token)
		uids[c] = s.uid
		if err := unix.Kill(s.PID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	d.kill()
	began := time.Now()
	d.startReady()
	t.Logf("all ready %v after the supervisor was started again", time.Since(began))
	for _, c := range d.list() {
		if c.GetAdopted() || c.GetFencingToken() <= highest || c.GetUid() != uids[c.GetName()] || c.GetCrashes() != 1 {
			t.Errorf("token %d was the highest, user ids were %v; now %v", highest, uids, c)
		}
		if c.GetLastExit() != "died while no supervisor watched" {
			t.Errorf("last exit %q", c.GetLastExit())
		}
		d.say(c.GetName(), "pid")
	}
}

func TestLeaveOnHangup(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	pid := d.get("one").GetPid()
	d.signal(unix.SIGHUP)
	if !alive(pid) {
		t.Fatal("the component went with the supervisor")
	}
	d.startReady()
	if c := d.get("one"); c.GetPid() != pid || !c.GetAdopted() {
		t.Errorf("not adopted: %v", c)
	}
}

func TestRemovedComponentIsEnded(t *testing.T) {
	d := newDevice(t, component{name: "one"}, component{name: "two"})
	d.startReady()
	pid := d.get("two").GetPid()
	d.kill()
	if err := os.RemoveAll(filepath.Join(d.generation, "two")); err != nil {
		t.Fatal(err)
	}
	d.startReady()
	if alive(pid) {
		t.Error("a component that is not in the generation goes on")
	}
	if n := len(d.list()); n != 1 {
		t.Errorf("%d components", n)
	}
}

// A supervisor that was killed between starting a process and recording it leaves a stray.
func TestStrayIsEnded(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	pid := d.get("one").GetPid()
	d.kill()
	if err := os.Remove(filepath.Join(d.layout.ComponentState("supervisor"), "children.json")); err != nil {
		t.Fatal(err)
	}
	d.startReady()
	if alive(pid) {
		t.Error("two processes of one component")
	}
	if got := d.say("one", "pid"); got != fmt.Sprint("pid ", d.get("one").GetPid()) {
		t.Errorf("the socket is answered by %q", got)
	}
}

func TestSecondSupervisorIsRefused(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	for _, args := range [][]string{
		{"--root", d.layout.Root, "--generation", d.generation},
		{"clean", "--root", d.layout.Root},
	} {
		out, err := exec.Command(filepath.Join(programs, "ashlard"), args...).CombinedOutput()
		want := fmt.Sprintf("another supervisor (pid %d) runs the device below %s", d.command.Process.Pid, d.layout.Root)
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	if c := d.get("one"); !isReady(c) || !alive(c.GetPid()) {
		t.Errorf("the first one suffered: %v", c)
	}
}
