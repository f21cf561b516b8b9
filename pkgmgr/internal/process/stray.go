// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FindByEnvironment returns the processes that were started with every one of the given "KEY=value"
// settings, zombies and the caller excluded; "KEY=" stands for any value. A supervisor that was killed
// between starting a process and recording it leaves one that only this finds.
func FindByEnvironment(settings ...string) ([]*Process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var found []*Process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		st, err := readStat(pid)
		if err != nil || st.zombie() || !hasEnvironment(pid, settings) {
			continue
		}
		if p, err := Adopt(pid, st.startTime); err == nil {
			found = append(found, p)
		}
	}
	return found, nil
}

func hasEnvironment(pid int, settings []string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	lines := bytes.Split(b, []byte{0})
	for _, s := range settings {
		if !slices.ContainsFunc(lines, func(l []byte) bool { return matches(string(l), s) }) {
			return false
		}
	}
	return true
}

func matches(line, setting string) bool {
	return line == setting || strings.HasSuffix(setting, "=") && strings.HasPrefix(line, setting)
}

// KillAll ends the processes and releases them. It returns the first that would not end.
func KillAll(all []*Process, limit time.Duration) error {
	var first error
	for _, p := range all {
		if err := p.Kill(limit); err != nil && first == nil {
			first = err
		}
		p.Release()
	}
	return first
}
