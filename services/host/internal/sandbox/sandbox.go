// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package sandbox runs the tests of a package as root in network and host name namespaces of their own,
// and makes further network namespaces beside. It is for tests only: the test binary starts itself
// anew inside, so that every thread is there.
package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
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
		fmt.Fprintln(os.Stderr, "these tests need network and host name namespaces of their own: run them as root")
		return 1
	}
	// The child is to end with this thread.
	runtime.LockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL}
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

// Namespace is a network namespace other than the tests' own. It lives as long as the test.
type Namespace struct {
	t       testing.TB
	file    netns.NsHandle
	netlink *netlink.Handle
}

// Beside makes a namespace whose loopback is up.
func Beside(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{t: t}
	n.file = unshare(t)
	var err error
	n.netlink, err = netlink.NewHandleAt(n.file)
	Must(t, err)
	t.Cleanup(func() { n.netlink.Close(); n.file.Close() })
	n.Up("lo")
	return n
}

// unshare unshares on a thread that ends with its goroutine.
func unshare(t testing.TB) netns.NsHandle {
	t.Helper()
	type result struct {
		handle netns.NsHandle
		err    error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		h, err := netns.New()
		done <- result{h, err}
	}()
	r := <-done
	Must(t, r.err)
	return r.handle
}

// Do runs fn on a thread inside, which ends with it.
func (n *Namespace) Do(fn func() error) {
	n.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(n.file); err != nil {
			done <- err
			return
		}
		done <- fn()
	}()
	Must(n.t, <-done)
}

// Sysctl writes a file below /proc/sys/net as the namespace sees it.
func (n *Namespace) Sysctl(key, value string) {
	n.t.Helper()
	n.Do(func() error { return os.WriteFile(filepath.Join("/proc/sys/net", key), []byte(value), 0) })
}

// Up sets a link up.
func (n *Namespace) Up(link string) {
	n.t.Helper()
	l, err := n.netlink.LinkByName(link)
	Must(n.t, err)
	Must(n.t, n.netlink.LinkSetUp(l))
}

// Address gives a link an address that works at once.
func (n *Namespace) Address(link, prefix string) {
	n.t.Helper()
	l, err := n.netlink.LinkByName(link)
	Must(n.t, err)
	Must(n.t, n.netlink.AddrAdd(l, address(n.t, prefix)))
	awaitLocal(n.t, n.netlink, link, prefix)
}

// Route sends a prefix to a gateway.
func (n *Namespace) Route(prefix, gateway string) {
	n.t.Helper()
	Must(n.t, n.netlink.RouteAdd(route(n.t, prefix, gateway)))
}

// Connect joins two namespaces by a pair of links that work; nil is the tests' own.
func Connect(t testing.TB, a *Namespace, linkA string, b *Namespace, linkB string) {
	t.Helper()
	pair := netlink.NewVeth(netlink.LinkAttrs{Name: linkA})
	pair.PeerName = linkB
	Must(t, netlink.LinkAdd(pair))
	t.Cleanup(func() {
		if a == nil {
			if l, err := netlink.LinkByName(linkA); err == nil {
				_ = netlink.LinkDel(l)
			}
		}
	})
	own, err := netlink.NewHandle()
	Must(t, err)
	defer own.Close()
	ends := map[string]*netlink.Handle{linkA: own, linkB: own}
	for link, n := range map[string]*Namespace{linkA: a, linkB: b} {
		l, err := own.LinkByName(link)
		Must(t, err)
		if n != nil {
			Must(t, own.LinkSetNsFd(l, int(n.file)))
			ends[link] = n.netlink
		}
	}
	for link, h := range ends {
		l, err := h.LinkByName(link)
		Must(t, err)
		Must(t, h.LinkSetUp(l))
	}
	for link, h := range ends {
		awaitUp(t, h, link)
	}
}

// awaitUp waits until a link passes packets, which is later than that it has carrier.
func awaitUp(t testing.TB, h *netlink.Handle, link string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		l, err := h.LinkByName(link)
		Must(t, err)
		if l.Attrs().OperState == netlink.OperUp {
			return
		}
	}
	t.Fatalf("%s does not come up", link)
}

// Address gives a link of the tests' own namespace an address that works at once.
func Address(t testing.TB, link, prefix string) {
	t.Helper()
	l, err := netlink.LinkByName(link)
	Must(t, err)
	Must(t, netlink.AddrAdd(l, address(t, prefix)))
	h, err := netlink.NewHandle()
	Must(t, err)
	defer h.Close()
	awaitLocal(t, h, link, prefix)
}

// awaitLocal waits until packets for the address are taken: for IPv6 that is a little later than the
// address is there.
func awaitLocal(t testing.TB, h *netlink.Handle, link, prefix string) {
	t.Helper()
	ip, _, err := net.ParseCIDR(prefix)
	Must(t, err)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		routes, err := h.RouteGetWithOptions(ip, &netlink.RouteGetOptions{Oif: link})
		if err == nil && len(routes) > 0 && routes[0].Type == syscall.RTN_LOCAL {
			return
		}
	}
	t.Fatalf("%s is not taken on %s", ip, link)
}

// Route sends a prefix to a gateway in the tests' own namespace.
func Route(t testing.TB, prefix, gateway string) {
	t.Helper()
	Must(t, netlink.RouteAdd(route(t, prefix, gateway)))
}

func address(t testing.TB, prefix string) *netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(prefix)
	Must(t, err)
	if a.IP.To4() == nil {
		a.Flags = syscall.IFA_F_NODAD
	}
	return a
}

func route(t testing.TB, prefix, gateway string) *netlink.Route {
	t.Helper()
	_, dst, err := net.ParseCIDR(prefix)
	Must(t, err)
	return &netlink.Route{Dst: dst, Gw: net.ParseIP(gateway)}
}

// Must ends the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
