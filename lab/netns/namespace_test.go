// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces: run them as root")
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func name(t *testing.T) string {
	return fmt.Sprintf("ashlar-test-%d-%s", os.Getpid(), strings.ToLower(t.Name()))
}

func TestUnnamed(t *testing.T) {
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	out, err := n.Output(exec.Command("ip", "-o", "link"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(out), "\n"); lines < 1 || strings.Contains(string(out), "eth0") {
		t.Errorf("links in a new namespace:\n%s", out)
	}
}

func TestDoComesHome(t *testing.T) {
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	home, _ := os.Readlink("/proc/self/ns/net")
	var inside string
	failure := errors.New("from inside")
	err = n.Do(func() error {
		inside, _ = os.Readlink("/proc/thread-self/ns/net")
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("error of the function = %v", err)
	}
	if inside == home || inside == "" {
		t.Errorf("inside = %q, home = %q", inside, home)
	}
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if at, err := os.Readlink(thread); err == nil && at == inside {
			t.Errorf("%s is still inside", thread)
		}
	}
}

func TestNamedOutlivesItsDescriptor(t *testing.T) {
	n, err := netns.Create(name(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netns.Remove(n.Name()) })
	if _, err := netns.Create(name(t)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create = %v, want fs.ErrExist", err)
	}
	n.Close()
	again, err := netns.Open(name(t))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := exec.Command("nsenter", "--net="+again.Path(), "true").Run(); err != nil {
		t.Errorf("nsenter: %v", err)
	}
	for range 2 {
		if err := netns.Remove(name(t)); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	if _, err := os.Stat(again.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("name is still there: %v", err)
	}
}

func TestProcesses(t *testing.T) {
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	cmd := exec.Command("sh", "-c", "echo started; read line")
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := n.Start(cmd); err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(stdout).ReadString('\n')
	pids, err := n.Processes()
	if err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Errorf("Processes = %v, %v; want [%d]", pids, err, cmd.Process.Pid)
	}
	stdin.Close()
	cmd.Wait()
	if pids, _ := n.Processes(); len(pids) != 0 {
		t.Errorf("after its end: %v", pids)
	}
}

func TestBadNames(t *testing.T) {
	for _, bad := range []string{"", "..", "a/b", "a.b"} {
		if n, err := netns.Create(bad); err == nil {
			n.Close()
			t.Errorf("Create(%q) succeeded", bad)
		}
	}
}
