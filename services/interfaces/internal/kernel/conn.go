// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// requestTimeout bounds one request to the kernel, which answers in microseconds or not at all.
const requestTimeout = 5 * time.Second

// dumpAttempts bounds how often an interrupted dump is asked for again.
const dumpAttempts = 20

// Conn asks the kernel of one network namespace.
type Conn struct {
	socket *nl.SocketHandle
	writes atomic.Uint64
	// identity names this namespace in this boot.
	identity string
}

// Open connects to the network namespace of the calling thread.
func Open() (*Conn, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	c := &Conn{socket: &nl.SocketHandle{Socket: s}}
	if err := c.prepare(); err != nil {
		s.Close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return c, nil
}

func (c *Conn) prepare() error {
	s := c.socket.Socket
	timeout := unix.NsecToTimeval(requestTimeout.Nanoseconds())
	if err := errors.Join(s.SetSendTimeout(&timeout), s.SetReceiveTimeout(&timeout)); err != nil {
		return err
	}
	// Strict checking lets the kernel filter dumps by interface; extended acknowledgements carry its words.
	if err := unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return fmt.Errorf("strict checking: %w", err)
	}
	if err := s.SetExtAck(true); err != nil {
		return fmt.Errorf("extended acknowledgements: %w", err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	cookie, err := unix.GetsockoptUint64(s.GetFd(), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return fmt.Errorf("namespace cookie: %w", err)
	}
	c.identity = fmt.Sprintf("%s/%d", strings.TrimSpace(string(boot)), cookie)
	return nil
}

// Close ends the connection; requests after it fail.
func (c *Conn) Close() { c.socket.Close() }

// Writes counts the requests to change something since Open.
func (c *Conn) Writes() uint64 { return c.writes.Load() }

// Identity names the network namespace uniquely over boots: an interface index means the same link only
// together with it.
func (c *Conn) Identity() string { return c.identity }

func (c *Conn) request(kind, flags int) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(kind, flags)
	r.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: c.socket}
	return r
}

// write sends a request that changes something.
func (c *Conn) write(kind, flags int, parts ...nl.NetlinkRequestData) error {
	c.writes.Add(1)
	r := c.request(kind, flags|unix.NLM_F_ACK)
	for _, p := range parts {
		r.AddData(p)
	}
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// dump reads a table; an answer that was torn by a concurrent change is asked for again.
func (c *Conn) dump(kind int, answer uint16, parts ...nl.NetlinkRequestData) ([][]byte, error) {
	var err error
	for range dumpAttempts {
		r := c.request(kind, unix.NLM_F_DUMP)
		for _, p := range parts {
			r.AddData(p)
		}
		var rows [][]byte
		rows, err = r.Execute(unix.NETLINK_ROUTE, answer)
		if err == nil {
			return rows, nil
		}
		if !errors.Is(err, nl.ErrDumpInterrupted) && !errors.Is(err, unix.ENOBUFS) {
			return nil, err
		}
	}
	return nil, err
}

// Read returns the interface of that name as it is now; false when there is none.
func (c *Conn) Read(name string) (State, bool, error) {
	link, ok, err := c.LinkByName(name)
	if err != nil || !ok {
		return State{}, false, err
	}
	s := State{Link: link}
	if s.Addresses, err = c.Addresses(link.Index); err == nil {
		s.Neighbors, err = c.Neighbors(link.Index)
	}
	if err == nil && link.Up {
		s.Connected, err = c.Connected(link.Index)
	}
	if Gone(err) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, fmt.Errorf("%s: %w", name, err)
	}
	return s, true, nil
}

// Gone reports whether an error means that the link is no longer there.
func Gone(err error) bool { return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) }

// octets is the 4- or 16-byte form of an address.
func octets(a netip.Addr) []byte { return a.Unmap().AsSlice() }

// family is the address family of an address.
func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
