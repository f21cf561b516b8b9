// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// supervisorTree puts a program of the supervisor into the device's store and returns its digest and tree. Without a
// script it is the one under test.
func (d *device) supervisorTree(digit, script string) (digest, tree string) {
	d.t.Helper()
	digest = strings.Repeat(digit, 64)
	tree = filepath.Join(filepath.Dir(d.layout.Root), "store", digest)
	program := filepath.Join(tree, "bin/ashlard")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		d.t.Fatal(err)
	}
	manifest, err := os.ReadFile("../../ashlard/component.yaml")
	if err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "component.yaml"), manifest, 0o644); err != nil {
		d.t.Fatal(err)
	}
	if script == "" {
		err = os.Link(filepath.Join(programs, "ashlard"), program)
	} else {
		err = os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o755)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return digest, tree
}

// replaceSupervisor stages a program of the supervisor and cuts over to it.
func (d *device) replaceSupervisor(digest, tree string) {
	d.t.Helper()
	ctx, cancel := wait()
	defer cancel()
	r, err := d.client.Stage(ctx, &supervisorv1.StageRequest{Component: "supervisor", Tree: tree})
	if err != nil || r.GetCandidate().GetDigest() != digest {
		d.t.Fatalf("staged %v, %v", r, err)
	}
	if _, err := d.client.Cutover(ctx, &supervisorv1.CutoverRequest{Component: "supervisor", Digest: digest}); err != nil {
		d.t.Fatal(err)
	}
}

// awaitSupervisor waits until the supervisor of a digest answers, and returns its process.
func (d *device) awaitSupervisor(digest string) int {
	d.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		ctx, cancel := wait()
		r, err := d.client.List(ctx, &supervisorv1.ListRequest{}, grpc.WaitForReady(true))
		cancel()
		if err == nil && r.GetSupervisorDigest() == digest {
			return d.holder()
		}
		time.Sleep(5 * time.Millisecond)
	}
	d.t.Fatalf("no supervisor of digest %q answers", digest)
	return 0
}

// holder is the process that has locked the device.
func (d *device) holder() int {
	text, err := os.ReadFile(filepath.Join(d.layout.ComponentState("supervisor"), "lock"))
	if err != nil {
		d.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		d.t.Fatal(err)
	}
	return pid
}

// guards are the guards of the device that run.
func (d *device) guards() []string {
	var out []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if s := string(text); strings.Contains(s, "\x00guard\x00") && strings.Contains(s, d.layout.Root+"\x00") {
			out = append(out, f)
		}
	}
	return out
}

func (d *device) awaitNoGuard() {
	d.t.Helper()
	for deadline := time.Now().Add(patience); len(d.guards()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("guards are left: %v", d.guards())
		}
	}
}

// zombies counts the ended children of a process that nobody has reaped.
func zombies(pid int) int {
	n := 0
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if strings.Contains(string(text), ") Z "+strconv.Itoa(pid)+" ") {
			n++
		}
	}
	return n
}

func TestSupervisorIsReplacedInPlace(t *testing.T) {
	d := newDevice(t, component{name: "one"}, component{name: "two"})
	d.startReady()
	one, two := d.get("one"), d.get("two")
	stop := d.traffic("one", "pid")
	for _, digit := range []string{"a", "b", "c"} {
		digest, tree := d.supervisorTree(digit, "")
		began := time.Now()
		d.replaceSupervisor(digest, tree)
		if pid := d.awaitSupervisor(digest); pid != d.command.Process.Pid {
			t.Errorf("the supervisor is process %d, it was %d", pid, d.command.Process.Pid)
		}
		t.Logf("replaced in %v", time.Since(began))
		for _, before := range []*supervisorv1.ComponentStatus{one, two} {
			after := d.await(before.GetName(), "to be ready", isReady)
			if after.GetPid() != before.GetPid() || after.GetCrashes() != 0 || after.GetRestarts() != 0 || !after.GetAdopted() {
				t.Errorf("before %v, after %v", before, after)
			}
		}
	}
	if answers, err := stop(); err != nil || answers == 0 {
		t.Errorf("after %d answers: %v", answers, err)
	}
	// The second and the third began where the trial before ended, so one guard is left, and it goes when all is well.
	ctx, cancel := wait()
	defer cancel()
	if _, err := d.client.Confirm(ctx, &supervisorv1.ConfirmRequest{Component: "supervisor"}); err != nil {
		t.Fatal(err)
	}
	d.awaitNoGuard()
	// Those whom an earlier program started are children still: their ends are known, and none stays as a zombie.
	d.say("one", "exit 7")
	if c := d.await("one", "to be ready again", successorOf(one.GetPid())); c.GetLastExit() != "exit status 7" {
		t.Errorf("last exit %q", c.GetLastExit())
	}
	if n := zombies(d.command.Process.Pid); n != 0 {
		t.Errorf("%d zombies", n)
	}
	d.signal(unix.SIGTERM)
	expectNothingLeft(t, d)
}

func TestSupervisorCallsSucceedWhileItIsReplaced(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	stop, result := make(chan struct{}), make(chan error, 1)
	calls := 0
	go func() {
		for {
			select {
			case <-stop:
				result <- nil
				return
			default:
			}
			ctx, cancel := wait()
			_, err := d.client.List(ctx, &supervisorv1.ListRequest{}, grpc.WaitForReady(true))
			cancel()
			if err != nil {
				result <- err
				return
			}
			calls++
		}
	}()
	for _, digit := range []string{"a", "b"} {
		digest, tree := d.supervisorTree(digit, "")
		d.replaceSupervisor(digest, tree)
		d.awaitSupervisor(digest)
	}
	close(stop)
	if err := <-result; err != nil || calls == 0 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	d.signal(unix.SIGTERM)
	d.awaitNoGuard()
}

func TestGuardGoesBack(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	before := d.get("one")
	stop := d.traffic("one", "pid")
	own, err := manifest.Load("../../ashlard/component.yaml")
	if err != nil {
		t.Fatal(err)
	}
	digest, tree := d.supervisorTree("d", fmt.Sprintf(`if [ "$1" = check ]; then echo "ashlard %s (supervisor)"; exit 0; fi; exit 1`, own.Version))
	first := d.command.Process.Pid
	began := time.Now()
	d.replaceSupervisor(digest, tree)
	<-d.exited
	d.command = nil
	pid := d.awaitSupervisor("")
	t.Logf("back after %v", time.Since(began))
	t.Cleanup(func() {
		unix.Kill(pid, unix.SIGKILL)
		for alive(int32(pid)) {
			time.Sleep(time.Millisecond)
		}
		d.clean()
	})
	after := d.await("one", "to be ready", isReady)
	if pid == first || after.GetPid() != before.GetPid() || after.GetCrashes() != 0 {
		t.Errorf("supervisor %d then %d, before %v, after %v", first, pid, before, after)
	}
	if answers, err := stop(); err != nil || answers == 0 {
		t.Errorf("after %d answers: %v", answers, err)
	}
	d.awaitLog("supervisor", "the supervisor on trial failed")
	d.awaitNoGuard()
}

func TestGuardGoesBackOnTrial(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	before := d.get("one")
	digest, tree := d.supervisorTree("e", "")
	d.replaceSupervisor(digest, tree)
	d.awaitSupervisor(digest)
	d.awaitLog("supervisor", `"msg":"supervising"`)
	d.await("one", "to be ready", isReady)
	d.kill()
	pid := d.awaitSupervisor("")
	t.Cleanup(func() {
		unix.Kill(pid, unix.SIGKILL)
		for alive(int32(pid)) {
			time.Sleep(time.Millisecond)
		}
		d.clean()
	})
	if after := d.await("one", "to be ready", isReady); after.GetPid() != before.GetPid() {
		t.Errorf("before %v, after %v", before, after)
	}
}

func TestSupervisorThatCannotTakeOver(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	ctx, cancel := wait()
	defer cancel()
	_, lame := d.supervisorTree("1", `echo "the record is of a form that I do not know" >&2; exit 1`)
	_, liar := d.supervisorTree("2", `echo "ashlard 7.0.0 (supervisor)"`)
	for tree, want := range map[string]string{lame: "of a form that I do not know", liar: "the program says"} {
		_, err := d.client.Stage(ctx, &supervisorv1.StageRequest{Component: "supervisor", Tree: tree})
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", tree, err)
		}
	}
	_, err := d.client.Cutover(ctx, &supervisorv1.CutoverRequest{Component: "supervisor", Digest: strings.Repeat("1", 64)})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("what is not staged: %v", err)
	}
}
