// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package icmperror reads ICMP errors (RFC 792, RFC 4443): what went wrong, in words, and with which of
// our packets. It parses bytes from the network and never fails otherwise than by saying no.
package icmperror

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Error is an ICMP error.
type Error struct {
	// Reason in words, for example "host unreachable".
	Reason string
	// Expired: the packet's TTL or hop limit ran out on the way.
	Expired bool
	// PortUnreachable: the packet arrived, and nobody listens there.
	PortUnreachable bool
	// Destination that the packet was for.
	Destination netip.Addr
	// Protocol of the packet, and Payload the first bytes after its IP header.
	Protocol int
	Payload  []byte
}

// Parse reads an ICMP message of the family; false when it is no error or is malformed.
func Parse(v6 bool, message []byte) (Error, bool) {
	protocol := ipv4.ICMPTypeEcho.Protocol()
	if v6 {
		protocol = ipv6.ICMPTypeEchoRequest.Protocol()
	}
	m, err := icmp.ParseMessage(protocol, message)
	if err != nil {
		return Error{}, false
	}
	e, ok := describe(m)
	if !ok {
		return Error{}, false
	}
	return original(e, v6, quoted(m))
}

// quoted is the packet that the error is about.
func quoted(m *icmp.Message) []byte {
	switch b := m.Body.(type) {
	case *icmp.DstUnreach:
		return b.Data
	case *icmp.TimeExceeded:
		return b.Data
	case *icmp.ParamProb:
		return b.Data
	case *icmp.PacketTooBig:
		return b.Data
	}
	return nil
}

func original(e Error, v6 bool, packet []byte) (Error, bool) {
	if v6 {
		if len(packet) < ipv6.HeaderLen || packet[0]>>4 != 6 {
			return Error{}, false
		}
		// Our probes carry no extension headers.
		e.Protocol, e.Payload = int(packet[6]), packet[ipv6.HeaderLen:]
		e.Destination = netip.AddrFrom16([16]byte(packet[24:40]))
		return e, true
	}
	if len(packet) < ipv4.HeaderLen || packet[0]>>4 != 4 {
		return Error{}, false
	}
	header := int(packet[0]&0x0f) * 4
	if header < ipv4.HeaderLen || len(packet) < header {
		return Error{}, false
	}
	e.Protocol, e.Payload = int(packet[9]), packet[header:]
	e.Destination = netip.AddrFrom4([4]byte(packet[16:20]))
	return e, true
}

// Echo returns the identifier and sequence number of the echo request that the error is about.
func (e Error) Echo(v6 bool) (id, sequence uint16, ok bool) {
	protocol, kind := ipv4.ICMPTypeEcho.Protocol(), byte(ipv4.ICMPTypeEcho)
	if v6 {
		protocol, kind = ipv6.ICMPTypeEchoRequest.Protocol(), byte(ipv6.ICMPTypeEchoRequest)
	}
	if e.Protocol != protocol || len(e.Payload) < 8 || e.Payload[0] != kind {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(e.Payload[4:]), binary.BigEndian.Uint16(e.Payload[6:]), true
}

// UDP returns the ports of the datagram that the error is about.
func (e Error) UDP() (source, destination uint16, ok bool) {
	const protocolUDP = 17
	if e.Protocol != protocolUDP || len(e.Payload) < 4 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(e.Payload), binary.BigEndian.Uint16(e.Payload[2:]), true
}

func describe(m *icmp.Message) (Error, bool) {
	switch m.Type {
	case ipv4.ICMPTypeDestinationUnreachable:
		return Error{Reason: word(unreachable4, m.Code, "destination unreachable"), PortUnreachable: m.Code == 3}, true
	case ipv6.ICMPTypeDestinationUnreachable:
		return Error{Reason: word(unreachable6, m.Code, "destination unreachable"), PortUnreachable: m.Code == 4}, true
	case ipv4.ICMPTypeTimeExceeded:
		return Error{Reason: word([]string{"time to live exceeded", "fragments not complete in time"}, m.Code, "time exceeded"), Expired: m.Code == 0}, true
	case ipv6.ICMPTypeTimeExceeded:
		return Error{Reason: word([]string{"hop limit exceeded", "fragments not complete in time"}, m.Code, "time exceeded"), Expired: m.Code == 0}, true
	case ipv6.ICMPTypePacketTooBig:
		if b, ok := m.Body.(*icmp.PacketTooBig); ok {
			return Error{Reason: fmt.Sprintf("packet too big, the next link takes %d bytes", b.MTU)}, true
		}
	case ipv4.ICMPTypeParameterProblem, ipv6.ICMPTypeParameterProblem:
		return Error{Reason: "parameter problem"}, true
	}
	return Error{}, false
}

// The words for the codes of "destination unreachable" (RFC 792, RFC 1122, RFC 1812; RFC 4443).
var (
	unreachable4 = []string{
		"network unreachable", "host unreachable", "protocol unreachable", "port unreachable", "fragmentation needed",
		"source route failed", "network unknown", "host unknown", "source host isolated", "network administratively prohibited",
		"host administratively prohibited", "network unreachable for this type of service",
		"host unreachable for this type of service", "administratively prohibited", "host precedence violation", "precedence cut off",
	}
	unreachable6 = []string{
		"no route to destination", "administratively prohibited", "beyond the scope of the source address", "address unreachable",
		"port unreachable", "source address failed the policy", "route rejected", "error in source routing header",
	}
)

func word(words []string, code int, otherwise string) string {
	if code < len(words) {
		return words[code]
	}
	return fmt.Sprintf("%s (code %d)", otherwise, code)
}
