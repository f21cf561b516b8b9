// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package rawsocket is a raw ICMP socket of one family. Opening one needs CAP_NET_RAW. The kernel
// filters: only echo replies and errors arrive. Every socket sees those of every other, so callers tell
// their own apart. One goroutine may read while another writes; Close ends a read.
package rawsocket

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// maxMessage is the largest ICMP message in bytes.
const maxMessage = 65535

// Socket sends and receives ICMP messages.
type Socket struct {
	conn *net.IPConn
	v6   bool
	buf  []byte
}

// Packet is an ICMP message, without its IP header, as it arrived.
type Packet struct {
	From netip.Addr
	At   time.Time
	// Message is valid until the next Receive.
	Message []byte
}

// Open returns a socket of IPv6 or IPv4, bound to source if that is valid.
func Open(v6 bool, source netip.Addr) (*Socket, error) {
	network := "ip4:icmp"
	if v6 {
		network = "ip6:ipv6-icmp"
	}
	conn, err := net.ListenIP(network, address(source))
	if err != nil {
		return nil, fmt.Errorf("raw ICMP socket: %w", err)
	}
	s := &Socket{conn: conn, v6: v6, buf: make([]byte, maxMessage)}
	if err := s.filter(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("raw ICMP socket: filter: %w", err)
	}
	return s, nil
}

func (s *Socket) filter() error {
	if s.v6 {
		var f ipv6.ICMPFilter
		f.SetAll(true)
		for _, t := range []ipv6.ICMPType{ipv6.ICMPTypeEchoReply, ipv6.ICMPTypeDestinationUnreachable,
			ipv6.ICMPTypePacketTooBig, ipv6.ICMPTypeTimeExceeded, ipv6.ICMPTypeParameterProblem} {
			f.Accept(t)
		}
		return ipv6.NewPacketConn(s.conn).SetICMPFilter(&f)
	}
	var f ipv4.ICMPFilter
	f.SetAll(true)
	for _, t := range []ipv4.ICMPType{ipv4.ICMPTypeEchoReply, ipv4.ICMPTypeDestinationUnreachable,
		ipv4.ICMPTypeTimeExceeded, ipv4.ICMPTypeParameterProblem} {
		f.Accept(t)
	}
	return ipv4.NewPacketConn(s.conn).SetICMPFilter(&f)
}

// Send sends a message; the kernel fills in the checksum of ICMPv6.
func (s *Socket) Send(message []byte, to netip.Addr) error {
	_, err := s.conn.WriteTo(message, address(to))
	return err
}

// Receive waits for a message. It fails when the socket is closed.
func (s *Socket) Receive() (Packet, error) {
	n, from, err := s.conn.ReadFromIP(s.buf)
	if err != nil {
		return Packet{}, err
	}
	ip, _ := netip.AddrFromSlice(from.IP)
	return Packet{From: ip.Unmap().WithZone(from.Zone), At: time.Now(), Message: s.buf[:n]}, nil
}

// Close closes the socket.
func (s *Socket) Close() { s.conn.Close() }

// address is nil for an invalid address, so that the kernel chooses.
func address(a netip.Addr) *net.IPAddr {
	if !a.IsValid() {
		return nil
	}
	return &net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()}
}
