// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start compiles the shim, puts it in front of a script and starts it with one inherited descriptor, as the supervisor would.
// It returns the lines of its standard error.
func start(t *testing.T, script string, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "demod")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(program+".real", []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	inherited, err := os.CreateTemp(t.TempDir(), "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	if _, err := inherited.WriteString("handed over\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := inherited.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"ASHLAR_TREE=/a/tree", "PATH=/usr/bin:/bin"}
	cmd.ExtraFiles, cmd.Stderr = []*os.File{inherited}, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, bufio.NewReader(r)
}

// line reads up to a line that has the text.
func line(t *testing.T, r *bufio.Reader, text string) {
	t.Helper()
	for {
		got, err := r.ReadString('\n')
		if strings.Contains(got, text) {
			return
		}
		if err != nil {
			t.Fatalf("no line with %q: %v", text, err)
		}
	}
}

// activate is a program that logs as the kit does, after it has shown what it was given.
const activate = `echo "pid $$ args $* tree $ASHLAR_TREE $(cat <&3)" >&2
[ -e /proc/self/fd/4 ] && echo "descriptor 4 is open" >&2
echo '{"level":"INFO","msg":"activated","token":7}' >&2
exec sleep 60
`

func signalled(t *testing.T, cmd *exec.Cmd) syscall.Signal {
	t.Helper()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatalf("ended with %v, want a signal", err)
	}
	return exit.Sys().(syscall.WaitStatus).Signal()
}

// The real program has the shim's pid, descriptors, environment and the rest of the arguments, and is killed in time.
func TestCrash(t *testing.T) {
	const after = 700 * time.Millisecond
	cmd, log := start(t, activate, "--fault=crash", "--fault-after="+after.String(), "--root", "/x")
	line(t, log, fmt.Sprintf("pid %d args --root /x tree /a/tree handed over", cmd.Process.Pid))
	line(t, log, `"msg":"activated"`)
	begin := time.Now()
	if sig := signalled(t, cmd); sig != syscall.SIGKILL {
		t.Errorf("ended by %s", sig)
	}
	if took := time.Since(begin); took < after-100*time.Millisecond || took > after+3*time.Second {
		t.Errorf("lived for %s after its activation, want %s", took, after)
	}
	rest, err := io.ReadAll(log)
	if err != nil || !bytes.Contains(rest, []byte("shim: crash 700ms after the activation")) || bytes.Contains(rest, []byte("descriptor 4")) {
		t.Errorf("%v: last words %q", err, rest)
	}
}

func TestCrashFromStart(t *testing.T) {
	cmd, _ := start(t, "exec sleep 60\n", "--fault=crash", "--fault-after=100ms", "--fault-from=start")
	if sig := signalled(t, cmd); sig != syscall.SIGKILL {
		t.Errorf("ended by %s", sig)
	}
}

// A program that was never activated lives.
func TestNotActivated(t *testing.T) {
	cmd, log := start(t, "echo ready >&2\nread x <&3\necho over >&2\nsleep 1\nexit 7\n", "--fault=crash", "--fault-after=1ms")
	line(t, log, "over")
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("ended with %v, want its own status", err)
	}
	// The companion goes with it: then nobody holds the log open.
	if _, err := io.ReadAll(log); err != nil {
		t.Error(err)
	}
}

func TestStall(t *testing.T) {
	cmd, log := start(t, activate, "--fault=stall", "--fault-after=10ms")
	line(t, log, "shim: stall")
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(stat, []byte(") T ")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("is not stopped: %s", stat)
		}
	}
}

// Where nothing limits it, the leak ends the program itself.
func TestLeak(t *testing.T) {
	cmd, log := start(t, activate, "--fault=leak", "--fault-after=10ms")
	line(t, log, `"msg":"activated"`)
	if score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid)); err != nil || string(score) != "1000\n" {
		t.Errorf("%q, %v: the program is not the one to die first", score, err)
	}
	line(t, log, "shim: has taken 320 MiB")
	if sig := signalled(t, cmd); sig != syscall.SIGKILL {
		t.Errorf("ended by %s", sig)
	}
}

func TestCrashAtStart(t *testing.T) {
	cmd, log := start(t, activate, "--fault=crash-at-start", "--fault-after=2s")
	line(t, log, "ends at once")
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended with %v, want status 1", err)
	}
}

// It takes a SIGKILL.
func TestHang(t *testing.T) {
	cmd, _ := start(t, activate, "--fault=hang", "--fault-after=2s")
	ignored := func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, mask, _ := strings.Cut(string(status), "SigIgn:\t")
		var bits uint64
		_, err = fmt.Sscanf(mask, "%x", &bits)
		return err == nil && bits&(1<<(syscall.SIGTERM-1)) != 0
	}
	for deadline := time.Now().Add(5 * time.Second); !ignored(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("SIGTERM is not ignored")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if sig := signalled(t, cmd); sig != syscall.SIGKILL {
		t.Errorf("ended by %s", sig)
	}
}

func TestParse(t *testing.T) {
	for _, args := range [][]string{{}, {"--fault=sulk"}, {"--fault=crash", "--fault-after=soon"}, {"--fault=crash", "--fault-else=1"}} {
		if _, _, err := parse(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	want := orders{fault: "leak", after: time.Second, fromStart: true}
	o, rest, err := parse(append(want.arguments(9), "--root", "--fault=crash"))
	if want.watch = 9; err != nil || o != want || len(rest) != 2 {
		t.Errorf("got %+v, %q, %v", o, rest, err)
	}
}
