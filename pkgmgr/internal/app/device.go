// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/reach"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

// makeDirectories makes the directories that components share. All may enter them; only root changes them.
func makeDirectories(l layout.Layout, self string) error {
	for _, dir := range []string{l.StateDir(), l.RunDir(), l.LogDir(), l.ComponentState(self)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// lockPatience covers a predecessor that was killed while forking: its child holds the lock until it executes.
const lockPatience = 500 * time.Millisecond

// lockDevice makes this the only supervisor of the device until the file is closed. The kernel drops the
// lock of a dead one.
func lockDevice(l layout.Layout, self string) (*os.File, error) {
	path := filepath.Join(l.ComponentState(self), "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			defer f.Close()
			holder, _ := os.ReadFile(path)
			return nil, fmt.Errorf("another supervisor (pid %s) runs the device below %s: %w", strings.TrimSpace(string(holder)), l.Root, err)
		}
	}
	if err := f.Truncate(0); err == nil {
		fmt.Fprintln(f, os.Getpid())
	}
	return f, nil
}

// ownLine is the supervisor's in the roster.
func ownLine(l layout.Layout, self *manifest.Manifest) roster.Component {
	return roster.Component{
		Name: self.Name, Version: self.Version, Endpoint: ownSocket(l, self, socketAPI),
		Provides: self.Provides, Requires: self.Requires,
	}
}

// reachable checks that a component's user can get to its files.
func reachable(l layout.Layout, uid uint32, c generation.Component) error {
	return reach.Directories(uid, l.StateDir(), l.RunDir(), filepath.Dir(c.Program()))
}

// The names of the supervisor's sockets in its own manifest.
const (
	socketAPI     = "api"
	socketMetrics = "metrics"
)

func ownSocket(l layout.Layout, self *manifest.Manifest, name string) string {
	s, _ := self.Socket(name)
	return l.Socket(s.Unix)
}

// listen makes one of the supervisor's own sockets. No one else holds it: between two supervisors it refuses.
func listen(l layout.Layout, self *manifest.Manifest, name string) (*net.UnixListener, error) {
	path := ownSocket(l, self, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o666); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}
