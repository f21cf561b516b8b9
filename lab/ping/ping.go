// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package ping asks for ICMP echoes from inside a network namespace (RFC 792, RFC 4443), so that the
// lab needs no ping program on the machine. Its functions are safe for concurrent use.
package ping

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// family is what differs between ICMP for IPv4 and for IPv6.
type family struct {
	network, any   string
	protocol       int
	request, reply icmp.Type
}

func familyOf(address netip.Addr) family {
	if address.Is6() {
		return family{"ip6:ipv6-icmp", "::", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply}
	}
	return family{"ip4:icmp", "0.0.0.0", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply}
}

// every is the interval between requests while nobody has answered.
const every = 200 * time.Millisecond

// Until sends requests until one is answered and returns that round trip, or an error once ctx ends.
// The error carries the last ICMP error that came back.
func Until(ctx context.Context, from *netns.Namespace, to netip.Addr) (time.Duration, error) {
	f := familyOf(to)
	var socket *icmp.PacketConn
	err := from.Do(func() (err error) {
		socket, err = icmp.ListenPacket(f.network, f.any)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ping %s: %w", to, err)
	}
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	var last error
	for sequence := 1; ; sequence++ {
		trip, err := once(socket, f, to, sequence)
		switch {
		case err == nil:
			return trip, nil
		case ctx.Err() != nil:
			return 0, fmt.Errorf("ping %s: %w", to, errors.Join(ctx.Err(), last))
		case !errors.Is(err, os.ErrDeadlineExceeded):
			last = err
		}
	}
}

// once sends one request and waits for its answer for as long as the interval. A later answer to an
// earlier request counts too: the sequence says which.
func once(socket *icmp.PacketConn, f family, to netip.Addr, sequence int) (time.Duration, error) {
	id := os.Getpid() & 0xffff
	request := icmp.Message{Type: f.request, Body: &icmp.Echo{ID: id, Seq: sequence, Data: make([]byte, 56)}}
	raw, err := request.Marshal(nil)
	if err != nil {
		return 0, err
	}
	sent := time.Now()
	if err := socket.SetReadDeadline(sent.Add(every)); err != nil {
		return 0, err
	}
	if _, err := socket.WriteTo(raw, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		// Not reachable at the moment: keep the pace, so that the caller does not spin.
		wait(socket)
		return 0, err
	}
	buffer := make([]byte, 1500)
	var said error
	for {
		n, peer, err := socket.ReadFrom(buffer)
		if err != nil {
			return 0, errors.Join(err, said)
		}
		message, err := icmp.ParseMessage(f.protocol, buffer[:n])
		if err != nil {
			continue
		}
		switch body := message.Body.(type) {
		case *icmp.Echo:
			if message.Type == f.reply && body.ID == id && body.Seq == sequence && peer.String() == to.String() {
				return time.Since(sent), nil
			}
		case *icmp.DstUnreach, *icmp.TimeExceeded:
			said = fmt.Errorf("%v from %s", message.Type, peer)
		}
	}
}

// wait lets the deadline pass.
func wait(socket *icmp.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		if _, _, err := socket.ReadFrom(buffer); err != nil {
			return
		}
	}
}
