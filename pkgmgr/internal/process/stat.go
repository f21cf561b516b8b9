// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
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

// StartTime returns when a process began, in clock ticks since boot. Executing another program does not change it.
func StartTime(pid int) (uint64, error) {
	s, err := readStat(pid)
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	return s.startTime, nil
}

// Resident returns the process's resident set in bytes, 0 when it has ended.
func Resident(pid int) uint64 {
	_, resident, _ := pages(pid)
	return resident * uint64(os.Getpagesize())
}

// OpenFiles returns how many descriptors the process has open, 0 when it has ended.
func OpenFiles(pid int) int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0
	}
	return len(entries)
}

// Ended reports whether the process is gone or about to be: it has no memory any more. It says so a little earlier
// than Done, and is false when that cannot be told.
func Ended(pid int) bool {
	size, _, err := pages(pid)
	return err == nil && size == 0 || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// pages reads /proc/<pid>/statm: the size of the address space and the part of it in memory, in pages.
func pages(pid int) (size, resident uint64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscan(string(b), &size, &resident)
	return size, resident, err
}
