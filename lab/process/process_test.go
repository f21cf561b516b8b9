// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/lab/process"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a shell that waits for its standard input to close.
func start(t *testing.T, environment ...string) (*exec.Cmd, process.ID) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "echo started; read line")
	cmd.Env = append(os.Environ(), environment...)
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	bufio.NewReader(stdout).ReadString('\n')
	id, err := process.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, id
}

func TestKill(t *testing.T) {
	cmd, id := start(t)
	if !id.Alive() {
		t.Fatal("not alive")
	}
	if err := id.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if id.Alive() {
		t.Error("alive after Kill")
	}
	if err := errors.Join(id.Kill(t.Context()), id.Wait(t.Context())); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestAnotherProcessWithTheSameNumberIsLeftAlone(t *testing.T) {
	_, id := start(t)
	former := process.ID{PID: id.PID, Start: id.Start - 1}
	if former.Alive() {
		t.Error("the former process seems alive")
	}
	if err := former.Kill(t.Context()); err != nil {
		t.Error(err)
	}
	if !id.Alive() {
		t.Error("the wrong process was killed")
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	_, id := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := id.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait = %v", err)
	}
}

func TestWithEnvironment(t *testing.T) {
	mark := fmt.Sprintf("ASHLAR_TEST_MARK=%d", os.Getpid())
	_, id := start(t, mark)
	found, err := process.WithEnvironment(mark)
	if err != nil || !slices.Equal(found, []process.ID{id}) {
		t.Errorf("found %v, %v; want %v", found, err, id)
	}
	if found, _ := process.WithEnvironment(mark + "0"); len(found) != 0 {
		t.Errorf("found %v for another mark", found)
	}
}
