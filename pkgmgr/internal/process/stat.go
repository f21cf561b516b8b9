// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// stat is what is needed of /proc/<pid>/stat, proc_pid_stat(5).
type stat struct {
	state     byte
	startTime uint64
	exitCode  uint32
}

func (s stat) zombie() bool { return s.state == 'Z' || s.state == 'X' }

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

func parseStat(b []byte) (stat, error) {
	// The command's name is in parentheses and may hold any byte; the fields after it are plain.
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return stat{}, fmt.Errorf("stat %q has no command", b)
	}
	const state, startTime, exitCode = 3, 22, 52
	fields := strings.Fields(string(b[i+1:]))
	if len(fields) <= exitCode-state {
		return stat{}, fmt.Errorf("stat has %d fields after the command", len(fields))
	}
	start, err := strconv.ParseUint(fields[startTime-state], 10, 64)
	if err != nil {
		return stat{}, err
	}
	code, err := strconv.ParseUint(fields[exitCode-state], 10, 32)
	return stat{state: fields[0][0], startTime: start, exitCode: uint32(code)}, err
}

// Resident returns the process's resident set in bytes, 0 when it has ended.
func Resident(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
