// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package sockets_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/sockets"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func both() []manifest.Socket {
	return []manifest.Socket{
		{Name: "api", Unix: "rib.sock", Mode: "0666"},
		{Name: "tcp", TCP: "127.0.0.1:0"},
	}
}

// dir is short: a unix socket's path has room for 107 bytes.
func dir(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("", "sockets-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}

func ensure(t *testing.T, s *sockets.Set, want []manifest.Socket) []int {
	t.Helper()
	fds, err := s.Ensure(context.Background(), "rib", want)
	if err != nil {
		t.Fatal(err)
	}
	return fds
}

// identity names the open socket behind a descriptor.
func identity(t *testing.T, fd int) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestMadeOnceAndHeld(t *testing.T) {
	d := dir(t)
	s := sockets.New(d)
	defer s.Close(true)
	want := both()[:1]
	first := ensure(t, s, want)
	path := filepath.Join(d, "rib.sock")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("mode %v, %v", info, err)
	}
	c, err := net.Dial("unix", path) // nobody accepts, and yet it is not refused
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if again := ensure(t, s, want); identity(t, again[0]) != identity(t, first[0]) {
		t.Error("the socket was made again")
	}
	s.Close(true)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
	if _, err := s.Ensure(context.Background(), "rib", want); !errors.Is(err, sockets.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestTCPIsReboundAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	// A connection in TIME_WAIT must not keep the address.
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()
	c.Close()
	l.Close()
	s := sockets.New(dir(t))
	defer s.Close(true)
	ensure(t, s, []manifest.Socket{{Name: "tcp", TCP: address}})
	c, err = net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := sockets.New(dir(t))
	defer s.Close(true)
	_, err = s.Ensure(context.Background(), "config", []manifest.Socket{{Name: "gnmi", TCP: l.Addr().String()}})
	if !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
}

func TestOfferedSocketIsChecked(t *testing.T) {
	d := dir(t)
	old := sockets.New(d)
	want := both()[:1]
	fd := ensure(t, old, want)[0]
	s := sockets.New(d)
	defer s.Close(true)
	if missing := s.Missing("rib", want); len(missing) != 1 {
		t.Errorf("missing %v", missing)
	}
	other, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	if err := s.Offer("rib", want[0], other); err == nil {
		t.Error("a socket that does not listen was taken")
	}
	if err := s.Offer("rib", manifest.Socket{Name: "api", Unix: "another.sock"}, fd); err == nil {
		t.Error("a socket of another name was taken")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	offered := make(chan error, 1)
	go func() { offered <- s.Offer("rib", want[0], fd) }()
	if missing := s.Await(ctx, "rib", want); len(missing) != 0 {
		t.Errorf("missing %v", missing)
	}
	if err := <-offered; err != nil {
		t.Fatal(err)
	}
	was := identity(t, fd)
	old.Close(false)
	if got := ensure(t, s, want); identity(t, got[0]) != was {
		t.Error("the returned socket is not the one in use")
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	s := sockets.New(dir(t))
	defer s.Close(true)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if missing := s.Await(ctx, "rib", both()); len(missing) != 2 {
		t.Errorf("missing %v", missing)
	}
}

// holder is a process that holds sockets: this one.
type holder []int

func (h holder) Sockets() ([]int, error) { return h, nil }
func (h holder) Descriptor(fd int) (int, error) {
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
}

func TestTake(t *testing.T) {
	d := dir(t)
	old := sockets.New(d)
	defer old.Close(true)
	want := both()[:1]
	fd := ensure(t, old, want)[0]
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	s := sockets.New(d)
	defer s.Close(false)
	if err := s.Take("rib", want, holder{int(r.Fd()), fd}); err != nil {
		t.Fatal(err)
	}
	if got := ensure(t, s, want); identity(t, got[0]) != identity(t, fd) {
		t.Error("another socket was taken")
	}
}

func TestChangedManifestMakesANewSocket(t *testing.T) {
	s := sockets.New(dir(t))
	defer s.Close(true)
	first := identity(t, ensure(t, s, []manifest.Socket{{Name: "api", Unix: "a.sock"}})[0])
	second := identity(t, ensure(t, s, []manifest.Socket{{Name: "api", Unix: "b.sock"}})[0])
	if first == second {
		t.Error("the old socket is handed out under the new address")
	}
}

func TestVersionsListenSideBySide(t *testing.T) {
	d := dir(t)
	s := sockets.New(d)
	defer s.Close(true)
	old, next := []manifest.Socket{{Name: "api", Unix: "a.sock"}}, []manifest.Socket{{Name: "api", Unix: "b.sock"}}
	was := identity(t, ensure(t, s, old)[0])
	ensure(t, s, next)
	if identity(t, ensure(t, s, old)[0]) != was {
		t.Error("the next version's socket took the place of the running one's")
	}
	s.Retain("rib", next)
	if _, err := os.Stat(filepath.Join(d, "a.sock")); !os.IsNotExist(err) {
		t.Errorf("the socket of the version before is left: %v", err)
	}
	held := s.Held()
	if len(held) != 1 || held[0].Component != "rib" || held[0].Socket != next[0] {
		t.Errorf("held: %+v", held)
	}
}
