// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// shell starts a shell as another user.
func shell(t *testing.T, script string, more func(*process.Spec)) *process.Process {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test starts processes as other users: run it as root")
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	s := process.Spec{Path: "/bin/sh", Name: "sh", Args: []string{"-c", script}, Dir: "/", Output: out, UID: 739999}
	if more != nil {
		more(&s)
	}
	p, err := process.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(patience); err != nil {
			t.Error(err)
		}
		p.Release()
	})
	return p
}

func await(t *testing.T, p *process.Process) process.Exit {
	t.Helper()
	select {
	case <-p.Done():
		return p.Exit()
	case <-time.After(patience):
		t.Fatal("the process does not end")
		return process.Exit{}
	}
}

func TestExitInWords(t *testing.T) {
	for script, want := range map[string]string{
		"exit 0":        "exit status 0",
		"exit 3":        "exit status 3",
		"kill -KILL $$": "signal: killed",
		"kill -TERM $$": "signal: terminated",
	} {
		if got := await(t, shell(t, script, nil)).String(); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

func TestKillAndSignalAfterTheEnd(t *testing.T) {
	p := shell(t, "sleep 100", nil)
	if err := p.Kill(patience); err != nil {
		t.Fatal(err)
	}
	if !p.Exit().Signaled(unix.SIGKILL) {
		t.Errorf("ended by %v", p.Exit())
	}
	if err := p.Signal(unix.SIGTERM); err != nil {
		t.Errorf("a signal to an ended process: %v", err)
	}
}

func TestDescriptorsAreHandedOver(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := shell(t, "echo stone >&3", func(s *process.Spec) { s.Descriptors = []int{int(w.Fd())} })
	w.Close()
	text := make([]byte, 6)
	if _, err := r.Read(text); err != nil || string(text) != "stone\n" {
		t.Errorf("read %q, %v", text, err)
	}
	await(t, p)
}

// orphan starts a process that is nobody's child here, as after a supervisor's death.
func orphan(t *testing.T, script string) (pid int, startTime uint64) {
	t.Helper()
	// The shell in the middle ends at once, so that the sleeper goes to another parent.
	out, err := exec.Command("/bin/sh", "-c", "("+script+") >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(out), &pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Kill(pid, unix.SIGKILL) })
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if _, err := fmt.Sscan(fields[19], &startTime); err != nil {
		t.Fatal(err)
	}
	return pid, startTime
}

func TestAdoptedProcessIsWatched(t *testing.T) {
	pid, start := orphan(t, "exec sleep 100")
	p, err := process.Adopt(pid, start)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	if err := p.Kill(patience); err != nil {
		t.Fatal(err)
	}
	if got := p.Exit().String(); got != "signal: killed" && got != (process.Exit{}).String() {
		t.Errorf("its end is told as %q", got)
	}
}

func TestAdoptRefusesAnotherProcess(t *testing.T) {
	pid, start := orphan(t, "exec sleep 100")
	if _, err := process.Adopt(pid, start+1); !errors.Is(err, process.ErrGone) {
		t.Errorf("another start time: %v", err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		p, err := process.Adopt(pid, start)
		if errors.Is(err, process.ErrGone) {
			return
		}
		if err == nil {
			p.Release()
		}
		if time.Now().After(deadline) {
			t.Fatalf("a dead process is adopted: %v", err)
		}
	}
}

func TestReleaseLeavesTheProcess(t *testing.T) {
	pid, start := orphan(t, "exec sleep 100")
	p, err := process.Adopt(pid, start)
	if err != nil {
		t.Fatal(err)
	}
	p.Release()
	p.Release()
	again, err := process.Adopt(pid, start)
	if err != nil {
		t.Fatalf("released and gone: %v", err)
	}
	again.Release()
}

func TestFindByEnvironment(t *testing.T) {
	mark := fmt.Sprintf("ASHLAR_TEST_MARK=%d", os.Getpid())
	p := shell(t, "sleep 100", func(s *process.Spec) { s.Env = []string{mark, "OTHER=1", "PATH=/bin"} })
	for _, settings := range [][]string{{mark}, {mark, "OTHER="}} {
		found, err := process.FindByEnvironment(settings...)
		if err != nil || len(found) == 0 {
			t.Fatalf("%v: found %d, %v", settings, len(found), err)
		}
		for _, f := range found {
			f.Release()
		}
	}
	if found, err := process.FindByEnvironment(mark, "OTHER=2"); err != nil || len(found) != 0 {
		t.Errorf("found %d that do not match, %v", len(found), err)
	}
	if process.Resident(p.PID) == 0 || process.Resident(1<<22-1) != 0 {
		t.Error("resident memory is not told")
	}
}

func TestStartFails(t *testing.T) {
	_, err := process.Start(process.Spec{Path: "/no/such/program", Name: "x", Dir: "/", Output: os.Stderr, UID: 739999})
	if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("got %v", err)
	}
}

func TestCapabilities(t *testing.T) {
	got, err := process.Capabilities([]string{"CAP_NET_ADMIN", "CAP_BPF"})
	if err != nil || len(got) != 2 || got[0] != unix.CAP_NET_ADMIN || got[1] != unix.CAP_BPF {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"CAP_SETUID", "cap_bpf", ""} {
		if _, err := process.Capabilities([]string{bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
