// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// become starts the companion and turns this process into the real program, whose errors go to the companion first.
func become(o orders, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if o.fault == "leak" {
		// The group's memory is the component's: it is the one to die when there is none left.
		if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
			return err
		}
	}
	inherited, err := hideDescriptors()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	// Without the component's environment: whoever looks for the component by it shall not find the companion.
	companion := &exec.Cmd{Path: self, Args: append([]string{self}, o.arguments(os.Getpid())...), Env: []string{"PATH="}, Stdin: r, Stderr: os.Stderr}
	if err := companion.Start(); err != nil {
		return err
	}
	if err := unix.Dup2(int(w.Fd()), unix.Stderr); err != nil {
		return err
	}
	for _, fd := range inherited {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	return unix.Exec(self+".real", append([]string{self + ".real"}, args...), os.Environ())
}

// hideDescriptors keeps the descriptors that the real program shall inherit from the companion, and returns them.
func hideDescriptors() ([]int, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= unix.Stderr {
			continue
		}
		// Those that are closed on exec are this program's own; one of them is closed by now.
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.CloseOnExec(fd)
			out = append(out, fd)
		}
	}
	return out, nil
}
