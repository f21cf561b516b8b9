// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended.
type Exit struct {
	// Known is false when the process was not ours and the kernel does not tell.
	Known  bool
	Status unix.WaitStatus
}

// Signaled reports whether a signal ended the process.
func (e Exit) Signaled(sig unix.Signal) bool {
	return e.Known && e.Status.Signaled() && e.Status.Signal() == sig
}

// String gives the end in words, for example "signal: killed" or "exit status 2".
func (e Exit) String() string {
	switch {
	case !e.Known:
		return "ended, its status went to another parent"
	case e.Status.Signaled() && e.Status.CoreDump():
		return fmt.Sprintf("signal: %v (core dumped)", e.Status.Signal())
	case e.Status.Signaled():
		return fmt.Sprintf("signal: %v", e.Status.Signal())
	default:
		return fmt.Sprintf("exit status %d", e.Status.ExitStatus())
	}
}

// collect reaps a child, or finds out what the kernel still knows of a process that is nobody of ours. Whether it is a
// child is asked of the kernel: one that was adopted is, when this program took the place of its parent's.
func collect(pid, pidfd int) Exit {
	if isChild(pidfd) {
		var status unix.WaitStatus
		for {
			_, err := unix.Wait4(pid, &status, 0, nil)
			if err == unix.EINTR {
				continue
			}
			return Exit{Known: err == nil, Status: status}
		}
	}
	// A zombie still has its status in /proc; once it is reaped, newer kernels keep it with the pidfd.
	if s, err := readStat(pid); err == nil && s.zombie() {
		return Exit{Known: true, Status: unix.WaitStatus(s.exitCode)}
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(pidfd, &info); err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0 {
		return Exit{Known: true, Status: unix.WaitStatus(info.Exit_code)}
	}
	return Exit{}
}

// isChild looks at an ended process without reaping it, waitid(2).
func isChild(pidfd int) bool {
	for {
		err := unix.Waitid(unix.P_PIDFD, pidfd, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err == nil
		}
	}
}

// ReapOrphans takes leave of children that have ended and that nobody here knows, as those of the program whose place
// this one took. It must be called before any child is watched.
func ReapOrphans() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err != unix.EINTR && (err != nil || pid <= 0) {
			return
		}
	}
}
