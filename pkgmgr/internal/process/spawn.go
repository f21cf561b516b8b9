// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Group is a control group that a process is born into. cgroup.Group implements it.
type Group interface {
	// EnterThread moves the calling thread, whose children are then born in the group. It is called on
	// a thread that ends soon after.
	EnterThread() error
	// Directory is an open cgroup v2 directory to clone into, or nil.
	Directory() *os.File
}

// Spec describes a process to start.
type Spec struct {
	// Path of the program, and its arguments without the program's name.
	Path string
	Name string
	Args []string
	Env  []string
	Dir  string
	// Output receives stdout and stderr. Descriptors become 3, 4, … in the process; they are plain
	// numbers because the methods of os.File would change the blocking mode that a listening socket's
	// holders share.
	Output      *os.File
	Descriptors []int
	// UID is also the group id. There are no supplementary groups.
	UID uint32
	// Capabilities are ambient ones; the bounding set is cut down to them.
	Capabilities []uintptr
	// Group may be nil.
	Group Group
}

// Start starts a process in a session of its own. It sets no parent-death signal: the process outlives
// its supervisor. From birth the process is in its control group, can gain no privileges and has its
// bounding set cut, because the thread that forks it is.
func Start(s Spec) (*Process, error) {
	var p *Process
	err := onFreshThread(func() error {
		if err := confine(s); err != nil {
			return err
		}
		var err error
		p, err = fork(s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Path, err)
	}
	return p, nil
}

// onFreshThread runs fn on a thread that ends afterwards, so that what fn does to the thread stays there.
func onFreshThread(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread never ends: hold it, so that the work lands on another one.
			result <- onFreshThread(fn)
			runtime.UnlockOSThread()
			return
		}
		result <- fn()
	}()
	return <-result
}

// confine restricts the calling thread to what the child may have.
func confine(s Spec) error {
	if s.Group != nil {
		if err := s.Group.EnterThread(); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	keep := map[uintptr]bool{}
	for _, c := range s.Capabilities {
		keep[c] = true
	}
	for c := uintptr(0); c < 64; c++ {
		if keep[c] {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // past the last capability that this kernel knows
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

func fork(s Spec) (*Process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	pidfd := -1
	attr := &syscall.ProcAttr{
		Dir: s.Dir, Env: s.Env,
		Files: []uintptr{null.Fd(), s.Output.Fd(), s.Output.Fd()},
		Sys: &syscall.SysProcAttr{
			Setsid: true, PidFD: &pidfd,
			Credential:  &syscall.Credential{Uid: s.UID, Gid: s.UID},
			AmbientCaps: s.Capabilities,
		},
	}
	for _, fd := range s.Descriptors {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	if s.Group != nil && s.Group.Directory() != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(s.Group.Directory().Fd())
	}
	pid, _, err := syscall.StartProcess(s.Path, append([]string{s.Name}, s.Args...), attr)
	if err != nil {
		return nil, err
	}
	return own(pid, pidfd)
}

// own begins to watch a child that was just forked.
func own(pid, pidfd int) (*Process, error) {
	st, err := readStat(pid) // it is not reaped yet, so it is there
	if err == nil && pidfd < 0 {
		err = errors.New("the kernel gave no pidfd")
	}
	if err == nil {
		err = unix.SetNonblock(pidfd, true)
	}
	if err != nil {
		unix.Kill(pid, unix.SIGKILL)
		unix.Wait4(pid, nil, 0, nil)
		return nil, err
	}
	return newProcess(pid, st.startTime, pidfd), nil
}
