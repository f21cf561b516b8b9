// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package process starts, adopts and watches operating-system processes.
//
// A process is held by its pidfd (pidfd_open(2)): a signal cannot hit another process that got the
// same number, and its end is an event, also for a process that some earlier supervisor started.
// The methods of a Process are safe for concurrent use.
package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone is returned by Adopt when the process is not there any more.
var ErrGone = errors.New("process is gone")

// Process is a running or ended process.
type Process struct {
	// PID and StartTime together name a process within one boot.
	PID int
	// StartTime is in clock ticks since boot, as field 22 of proc_pid_stat(5).
	StartTime uint64

	pidfd *os.File
	done  chan struct{}
	once  sync.Once
	exit  Exit
}

// Adopt takes over a process that this supervisor did not start. It returns ErrGone when no process has
// both the number and the start time, or only its zombie is left.
func Adopt(pid int, startTime uint64) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	// The descriptor is open, so the number cannot change its owner between this check and its use.
	s, err := readStat(pid)
	if err != nil || s.startTime != startTime || s.zombie() {
		unix.Close(fd)
		return nil, ErrGone
	}
	return newProcess(pid, startTime, fd), nil
}

// newProcess takes ownership of a non-blocking pidfd and begins to watch it.
func newProcess(pid int, startTime uint64, pidfd int) *Process {
	p := &Process{
		PID: pid, StartTime: startTime,
		pidfd: os.NewFile(uintptr(pidfd), "pidfd"),
		done:  make(chan struct{}),
	}
	go p.watch()
	return p
}

// watch waits for the end through the runtime's poller, so that it costs no thread.
func (p *Process) watch() {
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return
	}
	ended := false
	raw.Read(func(fd uintptr) bool {
		if !readable(fd) {
			return false
		}
		p.exit = collect(p.PID, int(fd))
		ended = true
		return true
	})
	if ended {
		close(p.done)
	}
}

func readable(fd uintptr) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(set, 0)
	return err == nil && n == 1
}

// Done is closed when the process has ended; Exit is valid from then on.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit says how the process ended. It must not be called before Done is closed.
func (p *Process) Exit() Exit { return p.exit }

// Signal sends a signal. It is no error when the process has ended.
func (p *Process) Signal(sig unix.Signal) error {
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return nil
	}
	var sent error
	err = raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	if err != nil || sent == nil || errors.Is(sent, unix.ESRCH) {
		return nil
	}
	return fmt.Errorf("signal process %d: %w", p.PID, sent)
}

// Kill sends SIGKILL and waits for the end, at most for limit. A process that is stuck in the kernel
// past the limit is an error.
func (p *Process) Kill(limit time.Duration) error {
	if err := p.Signal(unix.SIGKILL); err != nil {
		return err
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-p.done:
		return nil
	case <-t.C:
		return fmt.Errorf("process %d did not end within %v of SIGKILL", p.PID, limit)
	}
}

// Release stops watching and leaves the process alone. Done stays open if it was. It may be called twice.
func (p *Process) Release() { p.once.Do(func() { p.pidfd.Close() }) }

// Descriptor duplicates an open descriptor of the process into this one (pidfd_getfd(2)). The caller
// closes it. The new descriptor is close-on-exec.
func (p *Process) Descriptor(fd int) (int, error) {
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return -1, err
	}
	got, taken := -1, error(nil)
	if err := raw.Control(func(pidfd uintptr) { got, taken = unix.PidfdGetfd(int(pidfd), fd, 0) }); err != nil {
		return -1, err
	}
	if taken != nil {
		return -1, fmt.Errorf("descriptor %d of process %d: %w", fd, p.PID, taken)
	}
	return got, nil
}

// Sockets lists the numbers of the process's open sockets.
func (p *Process) Sockets() ([]int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", p.PID)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if to, err := os.Readlink(dir + "/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			out = append(out, n)
		}
	}
	return out, nil
}
