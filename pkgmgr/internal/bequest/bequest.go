// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package bequest is what a supervisor leaves to the program that takes its place in the same process: open descriptors,
// so that nobody who calls is refused meanwhile, and who watches over the change.
//
// The descriptors stay open over execve(2) under their numbers; a list of them lies in an anonymous file, whose number is
// in the environment. The package holds no state and no locks.
package bequest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// Env names the environment variable with the number of the list's descriptor.
const Env = "ASHLAR_BEQUEST"

// form is the version of the list that this program writes and reads.
const form = 1

// none stands for a descriptor that is not left.
const none = -1

// Socket is a listening socket of a component.
type Socket struct {
	Component string          `json:"component"`
	Socket    manifest.Socket `json:"socket"`
	FD        int             `json:"fd"`
}

// Bequest lists what is left. Descriptors are plain numbers: an os.File would change the blocking mode that a socket's
// holders share.
type Bequest struct {
	Form int `json:"form"`
	// Lock is the open file that locks the device, -1 when it is not left.
	Lock int `json:"lock"`
	// Own are the supervisor's listening sockets by name.
	Own map[string]int `json:"own"`
	// Sockets are the components'.
	Sockets []Socket `json:"sockets,omitempty"`
	// Guard is the process that goes back to the program before; Report is where it is told how things go, -1 without one.
	GuardPID       int    `json:"guard_pid,omitempty"`
	GuardStartTime uint64 `json:"guard_start_time,omitempty"`
	Report         int    `json:"report"`
}

// New returns an empty list.
func New() *Bequest {
	return &Bequest{Form: form, Lock: none, Own: map[string]int{}, Report: none}
}

// descriptors are the numbers of all that is left.
func (b *Bequest) descriptors() []int {
	var out []int
	for _, fd := range []int{b.Lock, b.Report} {
		if fd != none {
			out = append(out, fd)
		}
	}
	for _, fd := range b.Own {
		out = append(out, fd)
	}
	for _, s := range b.Sockets {
		out = append(out, s.FD)
	}
	return out
}

// Leave prepares the descriptors for execve(2) and returns the setting for the next program's environment. No other
// program may be started from here on: it would get them too.
func (b *Bequest) Leave() (string, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return "", fmt.Errorf("bequest: %w", err)
	}
	list, err := unix.MemfdCreate("ashlar-bequest", 0)
	if err != nil {
		return "", fmt.Errorf("bequest: %w", err)
	}
	if _, err := unix.Pwrite(list, text, 0); err != nil {
		return "", fmt.Errorf("bequest: %w", err)
	}
	for _, fd := range b.descriptors() {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return "", fmt.Errorf("bequest: descriptor %d: %w", fd, err)
		}
	}
	return Env + "=" + strconv.Itoa(list), nil
}

// Receive returns what the program before left, nil when there was none. It takes the setting out of the environment, and
// no program that is started from here on gets the descriptors.
func Receive() (*Bequest, error) {
	setting, ok := os.LookupEnv(Env)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(Env)
	fd, err := strconv.Atoi(setting)
	if err != nil || fd < 0 {
		return nil, fmt.Errorf("bequest: %s=%q: want the number of a descriptor", Env, setting)
	}
	list := os.NewFile(uintptr(fd), "bequest")
	defer list.Close()
	if _, err := list.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("bequest: %w", err)
	}
	b := New()
	if err := json.NewDecoder(list).Decode(b); err != nil {
		return nil, fmt.Errorf("bequest: %w", err)
	}
	if b.Form != form {
		return nil, fmt.Errorf("bequest: its form is %d and this program knows %d", b.Form, form)
	}
	for _, fd := range b.descriptors() {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("bequest: descriptor %d: %w", fd, err)
		}
	}
	return b, nil
}

// Control is what a listener offers of its descriptor.
type Control interface {
	Control(func(fd uintptr)) error
}

// Duplicate shares the open socket behind a listener and keeps its blocking mode.
func Duplicate(c Control) (int, error) {
	fd, err := none, errors.New("it is closed")
	if e := c.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		err = e
	}
	if err != nil {
		return none, fmt.Errorf("bequest: duplicate a socket: %w", err)
	}
	return fd, nil
}
