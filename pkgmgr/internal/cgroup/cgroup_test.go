// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// open returns a manager for groups of this test alone, which are removed at its end.
func open(t *testing.T) *Manager {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes control groups: run it as root")
	}
	m, err := Open(fmt.Sprintf("ashlar/test-%d-%s", os.Getpid(), strings.ToLower(t.Name())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range m.Components() {
			g, err := m.Group(c)
			if err != nil {
				t.Error(err)
				continue
			}
			if err := g.Kill(10 * time.Second); err != nil {
				t.Error(err)
			}
			if err := g.Remove(); err != nil {
				t.Error(err)
			}
		}
		if err := m.Remove(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// sleeperIn starts a process in the group as the supervisor does.
func sleeperIn(t *testing.T, g *Group) *exec.Cmd {
	t.Helper()
	started, c := make(chan error, 1), exec.Command("sleep", "100")
	var born func()
	born = func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done := make(chan struct{})
			go func() { born(); close(done) }()
			<-done
			return
		}
		if g.Directory() != nil {
			c.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.Directory().Fd())}
		}
		if err := g.EnterThread(); err != nil {
			started <- err
			return
		}
		started <- c.Start()
	}
	go born()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	reaped := make(chan struct{})
	go func() { c.Wait(); close(reaped) }()
	t.Cleanup(func() { c.Process.Kill(); <-reaped })
	return c
}

func TestBornInTheGroupAndKilledWithIt(t *testing.T) {
	m := open(t)
	g, err := m.Group("rib")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	c := sleeperIn(t, g)
	if got := g.Processes(); len(got) != 1 || got[0] != c.Process.Pid {
		t.Errorf("processes %v, want %d", got, c.Process.Pid)
	}
	if err := g.Kill(10 * time.Second); err != nil {
		t.Error(err)
	}
	if got := g.Processes(); len(got) != 0 {
		t.Errorf("processes %v are left", got)
	}
}

func TestUnifiedHierarchy(t *testing.T) {
	m := open(t)
	if m.mounts.v2 == "" {
		t.Log("this host has no version 2 hierarchy: nothing to test")
		return
	}
	m.mounts.v1 = nil // as on a host that has only version 2
	g, err := m.Group("rib")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Limit(Limits{MemoryBytes: 1 << 30, Tasks: 10, CPUShares: 512}); err != nil {
		t.Errorf("limits: %v", err)
	}
	c := sleeperIn(t, g)
	if got := g.Processes(); len(got) != 1 || got[0] != c.Process.Pid {
		t.Errorf("processes %v, want %d", got, c.Process.Pid)
	}
	if err := g.Kill(10 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	m := open(t)
	g, err := m.Group("rib")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Limit(Limits{MemoryBytes: 64 << 20, Tasks: 77, CPUShares: 512}); err != nil {
		t.Fatal(err)
	}
	for controller, want := range map[string]string{
		"memory": "memory.limit_in_bytes 67108864", "pids": "pids.max 77", "cpu": "cpu.shares 512",
	} {
		dir, ok := g.dirs[controller]
		if !ok {
			t.Logf("this host has no version 1 controller %s", controller)
			continue
		}
		file, value, _ := strings.Cut(want, " ")
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || strings.TrimSpace(string(got)) != value {
			t.Errorf("%s is %q, %v; want %s", file, got, err, value)
		}
	}
	if err := g.Limit(Limits{}); err != nil {
		t.Errorf("limits cannot be lifted: %v", err)
	}
}

func TestParseMounts(t *testing.T) {
	v1 := "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
		"31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
		"32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\nbroken line\n\n"
	m := parseMounts(v1)
	if m.v1["cpu"] != "/sys/fs/cgroup/cpu,cpuacct" || m.v1["memory"] != "/sys/fs/cgroup/memory" || m.v1["pids"] != "" || m.v2 != "/sys/fs/cgroup/unified" {
		t.Errorf("got %+v", m)
	}
}

func TestSettings(t *testing.T) {
	for shares, want := range map[uint64]uint64{0: 1, 2: 1, 1024: 39, 262144: 10000, 1 << 40: 10000} {
		if got := weight(shares); got != want {
			t.Errorf("%d shares weigh %d, want %d", shares, got, want)
		}
	}
	if got := settings(unified, Limits{})["memory.max"]; got != "max" {
		t.Errorf("no limit is written as %q", got)
	}
}
