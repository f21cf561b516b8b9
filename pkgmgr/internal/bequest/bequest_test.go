// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package bequest_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/bequest"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// descriptor is open and close-on-exec.
func descriptor(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func closesOnExec(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil {
		t.Fatal(err)
	}
	return flags&unix.FD_CLOEXEC != 0
}

func TestWhatIsLeftIsReceived(t *testing.T) {
	b := bequest.New()
	b.Lock, b.Own["api"] = descriptor(t), descriptor(t)
	b.Sockets = []bequest.Socket{{Component: "rib", Socket: manifest.Socket{Name: "api", Unix: "rib.sock"}, FD: descriptor(t)}}
	b.GuardPID = 42
	setting, err := b.Leave()
	if err != nil {
		t.Fatal(err)
	}
	all := []int{b.Lock, b.Own["api"], b.Sockets[0].FD}
	for _, fd := range all {
		if closesOnExec(t, fd) {
			t.Errorf("descriptor %d would not outlive the change", fd)
		}
	}
	name, value, _ := strings.Cut(setting, "=")
	t.Setenv(name, value)
	got, err := bequest.Receive()
	if err != nil || got.Lock != b.Lock || got.Own["api"] != b.Own["api"] || got.Sockets[0] != b.Sockets[0] || got.GuardPID != 42 || got.Report != -1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, fd := range all {
		if !closesOnExec(t, fd) {
			t.Errorf("descriptor %d would go to every child", fd)
		}
	}
	if again, err := bequest.Receive(); again != nil || err != nil {
		t.Errorf("received twice: %+v, %v", again, err)
	}
}

func TestBadSettings(t *testing.T) {
	for _, value := range []string{"", "x", "-1", "987654"} {
		t.Setenv(bequest.Env, value)
		if b, err := bequest.Receive(); err == nil {
			t.Errorf("%q: got %+v, want an error", value, b)
		}
	}
}
