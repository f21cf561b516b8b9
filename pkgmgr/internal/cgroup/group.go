// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unified names the version 2 hierarchy among a group's directories.
const unified = "unified"

// Group is one component's control group.
type Group struct {
	// dirs holds the directory in each hierarchy, by controller.
	dirs      map[string]string
	directory *os.File
}

// Directory is the open version 2 directory, nil where version 1 is used.
func (g *Group) Directory() *os.File { return g.directory }

// Close closes the group's descriptor; the group stays.
func (g *Group) Close() {
	if g.directory != nil {
		g.directory.Close()
	}
}

// EnterThread moves the calling thread into the version 1 groups; what it forks is born there.
func (g *Group) EnterThread() error {
	tid := []byte(strconv.Itoa(unix.Gettid()))
	for name, dir := range g.dirs {
		if name == unified {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "tasks"), tid, 0); err != nil {
			return fmt.Errorf("control group: %w", err)
		}
	}
	return nil
}

// Limit writes the limits; zero lifts one. A memory limit below what the group already uses may be
// refused with EBUSY.
func (g *Group) Limit(l Limits) error {
	for name, dir := range g.dirs {
		for file, value := range settings(name, l) {
			err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0)
			if errors.Is(err, os.ErrNotExist) || name == unified && errors.Is(err, os.ErrPermission) {
				continue // the controller is not enabled here; Missing reports it
			}
			if err != nil {
				return fmt.Errorf("control group: %s %s: %w", file, value, err)
			}
		}
	}
	return nil
}

// settings returns the files to write for a controller.
func settings(controller string, l Limits) map[string]string {
	shares := l.CPUShares
	if shares == 0 {
		shares = 1024
	}
	switch controller {
	case "memory":
		return map[string]string{"memory.limit_in_bytes": orElse(l.MemoryBytes, "-1")}
	case "pids":
		return map[string]string{"pids.max": orElse(l.Tasks, "max")}
	case "cpu":
		return map[string]string{"cpu.shares": strconv.FormatUint(shares, 10)}
	default:
		return map[string]string{
			"memory.max": orElse(l.MemoryBytes, "max"),
			"pids.max":   orElse(l.Tasks, "max"),
			"cpu.weight": strconv.FormatUint(weight(shares), 10),
		}
	}
}

// weight converts shares (2 to 262144) to version 2 weights (1 to 10000), as container runtimes do.
func weight(shares uint64) uint64 {
	shares = min(max(shares, 2), 262144)
	return 1 + (shares-2)*9999/262142
}

func orElse(n uint64, unbounded string) string {
	if n == 0 {
		return unbounded
	}
	return strconv.FormatUint(n, 10)
}

// OutOfMemoryKills counts the processes that the kernel killed because the group was out of memory.
func (g *Group) OutOfMemoryKills() uint64 {
	if dir, ok := g.dirs["memory"]; ok {
		return counter(filepath.Join(dir, "memory.oom_control"), "oom_kill")
	}
	return counter(filepath.Join(g.dirs[unified], "memory.events"), "oom_kill")
}

// counter reads a number from a file of "key value" lines, 0 when it is not there.
func counter(file, key string) uint64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		if k == key {
			n, _ := strconv.ParseUint(v, 10, 64)
			return n
		}
	}
	return 0
}

// Processes lists the group's processes.
func (g *Group) Processes() []int {
	var out []int
	seen := map[int]bool{}
	for _, dir := range g.dirs {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(field)
			// The supervisor shows up while one of its threads is forking.
			if err == nil && pid != os.Getpid() && !seen[pid] {
				seen[pid] = true
				out = append(out, pid)
			}
		}
	}
	return out
}

// Kill sends SIGKILL to every process of the group until none is left, at most for limit.
func (g *Group) Kill(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		left := g.Processes()
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("control group: processes %v did not end within %v of SIGKILL", left, limit)
		}
		for _, pid := range left {
			unix.Kill(pid, unix.SIGKILL)
		}
		// The kernel has no event for an emptied version 1 group.
		time.Sleep(time.Millisecond)
	}
}

// Remove removes the empty group.
func (g *Group) Remove() error {
	g.Close()
	var first error
	for _, dir := range g.dirs {
		if err := removeGroup(dir); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// retryBusy repeats fn while it fails with EBUSY, for at most a second.
func retryBusy(fn func() error) error {
	deadline := time.Now().Add(time.Second)
	for {
		err := fn()
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}
