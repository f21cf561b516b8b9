// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package sandbox runs the tests of a package in a network namespace of their own, as root. It is for
// tests only: the test binary starts itself anew in the namespace, so that every thread is inside.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

const envInside = "ASHLAR_TEST_SANDBOX"

// Main is for TestMain: it runs the tests inside and returns the exit status.
func Main(m *testing.M) int {
	if os.Getenv(envInside) == "" {
		return enter()
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		return 1
	}
	return m.Run()
}

func enter() int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests change network interfaces in a namespace of their own: run them as root")
		return 1
	}
	// The child is to end with this thread.
	runtime.LockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		return 1
	}
	return 0
}

// Veth makes a pair of links and removes it with the test. The far end is up, so that the near one has
// carrier as soon as it is up.
func Veth(t testing.TB, near, far string) {
	t.Helper()
	pair := netlink.NewVeth(netlink.LinkAttrs{Name: near})
	pair.PeerName = far
	Must(t, netlink.LinkAdd(pair))
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(far); err == nil {
			_ = netlink.LinkDel(l)
		}
	})
	Must(t, netlink.LinkSetUp(Link(t, far)))
}

// Link returns a link that must be there.
func Link(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	Must(t, err)
	return l
}

// AddAddress adds an address as an operator would by hand.
func AddAddress(t testing.TB, link, prefix string) {
	t.Helper()
	Must(t, netlink.AddrAdd(Link(t, link), Address(t, prefix)))
}

// DeleteAddress removes an address as an operator would by hand.
func DeleteAddress(t testing.TB, link, prefix string) {
	t.Helper()
	Must(t, netlink.AddrDel(Link(t, link), Address(t, prefix)))
}

// Address parses an address with its prefix length.
func Address(t testing.TB, prefix string) *netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(prefix)
	Must(t, err)
	return a
}

// Must ends the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
