// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package process names processes so that a name never comes to mean another one: by id and start time,
// signalled and awaited by pidfd. It may be used for processes that are nobody's children here.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ID names one process for as long as the machine is up.
type ID struct {
	PID int `json:"pid"`
	// Start is field 22 of /proc/<pid>/stat: clock ticks since boot.
	Start uint64 `json:"start"`
}

// ErrGone: the process has ended.
var ErrGone = errors.New("the process has ended")

// Identify returns the ID of a process that runs now.
func Identify(pid int) (ID, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return ID{}, ErrGone
	}
	if err != nil {
		return ID{}, err
	}
	// The command in parentheses may hold anything; after its last one come the state and 18 fields before the start.
	_, rest, _ := cutLast(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return ID{}, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return ID{}, ErrGone
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return ID{PID: pid, Start: start}, err
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// Alive says whether the process still runs.
func (id ID) Alive() bool {
	now, err := Identify(id.PID)
	return err == nil && now == id
}

// Kill sends SIGKILL and waits for the end or for ctx. A process that has ended is no error.
func (id ID) Kill(ctx context.Context) error {
	fd, err := id.open()
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill %d: %w", id.PID, err)
	}
	return await(ctx, fd, id.PID)
}

// Signal sends a signal.
func (id ID) Signal(signal unix.Signal) error {
	fd, err := id.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.PidfdSendSignal(fd, signal, nil, 0)
}

// Wait returns when the process has ended, or with ctx's error.
func (id ID) Wait(ctx context.Context) error {
	fd, err := id.open()
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return await(ctx, fd, id.PID)
}

// open gets a pidfd and only then looks whether it is still the process that is meant.
func (id ID) open() (int, error) {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, ErrGone
	}
	if err != nil {
		return -1, fmt.Errorf("pidfd of %d: %w", id.PID, err)
	}
	if !id.Alive() {
		unix.Close(fd)
		return -1, ErrGone
	}
	return fd, nil
}

// await polls the pidfd, which is readable from the process's end on.
func await(ctx context.Context, fd, pid int) error {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(wake)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-stopped // the descriptor stays open until it was written to
		}
	}()
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case fds[0].Revents != 0:
			return nil
		case fds[1].Revents != 0:
			return fmt.Errorf("process %d goes on: %w", pid, ctx.Err())
		}
	}
}

// WithEnvironment returns the processes whose initial environment has the entry, for example "A=b".
func WithEnvironment(entry string) ([]ID, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []ID
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environment, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err != nil {
			continue // it ended
		}
		for variable := range bytes.SplitSeq(environment, []byte{0}) {
			if string(variable) != entry {
				continue
			}
			if id, err := Identify(pid); err == nil {
				found = append(found, id)
			}
			break
		}
	}
	return found, nil
}
