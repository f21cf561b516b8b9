// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/bequest"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/sockets"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// The names of the supervisor's own sockets in a bequest, besides those of its manifest.
const ownReturned = "returned"

// lockOrInherit locks the device, unless the program before left the lock.
func lockOrInherit(l layout.Layout, self string, left *bequest.Bequest) (*os.File, error) {
	if left != nil && left.Lock >= 0 {
		return os.NewFile(uintptr(left.Lock), "lock"), nil
	}
	return lockDevice(l, self)
}

// inherit takes what the program before left, beside the lock and the supervisor's own sockets.
func (a *app) inherit(left *bequest.Bequest) {
	if left == nil {
		return
	}
	process.ReapOrphans()
	for _, s := range left.Sockets {
		a.sockets.Inherit(sockets.Held{Component: s.Component, Socket: s.Socket, FD: s.FD})
	}
	if left.Report >= 0 {
		a.heir.pipe = os.NewFile(uintptr(left.Report), "guard")
	}
	if left.GuardPID != 0 {
		// It is a child, and watching reaps it when it ends.
		var err error
		if a.heir.watching, err = process.Adopt(left.GuardPID, left.GuardStartTime); err != nil {
			a.log.Warn("the guard of the program before is not there", "error", err)
		}
	}
}

// inherited are the supervisor's own sockets as the program before left them.
func inherited(left *bequest.Bequest) (l listeners, ok bool) {
	if left == nil {
		return l, false
	}
	for name, to := range map[string]**net.UnixListener{ownReturned: &l.returned, socketAPI: &l.api, socketMetrics: &l.metrics} {
		fd, there := left.Own[name]
		if !there {
			return listeners{}, false
		}
		if *to = listenerOf(fd); *to == nil {
			return listeners{}, false
		}
	}
	return l, true
}

func listenerOf(fd int) *net.UnixListener {
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil
	}
	u.SetUnlinkOnClose(false)
	return u
}

// ownTree is the directory from which this program runs.
func ownTree() string { return filepath.Dir(filepath.Dir(ownProgram())) }

// ownProgram is the path of this program, whatever it was called by.
func ownProgram() string {
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(path, " (deleted)")
}

// leave lists what the next program gets.
func (a *app) leave(own map[string]int) *bequest.Bequest {
	b := bequest.New()
	b.Lock, b.Own = int(a.lock.Fd()), own
	for _, h := range a.sockets.Held() {
		b.Sockets = append(b.Sockets, bequest.Socket{Component: h.Component, Socket: h.Socket, FD: h.FD})
	}
	return b
}

// share duplicates the supervisor's own sockets, so that they outlive its servers.
func (l listeners) share() (map[string]int, error) {
	out := map[string]int{}
	for name, listener := range map[string]*net.UnixListener{ownReturned: l.returned, socketAPI: l.api, socketMetrics: l.metrics} {
		raw, err := listener.SyscallConn()
		if err == nil {
			out[name], err = bequest.Duplicate(raw)
		}
		if err != nil {
			closeAll(out)
			return nil, err
		}
	}
	return out, nil
}

func closeAll(fds map[string]int) {
	for _, fd := range fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
