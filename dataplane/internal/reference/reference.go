// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package reference is a router in plain Go: the same decisions as the XDP program, written from the
// standards (RFC 1812, RFC 8200) and sharing no code with what it is compared to. It is slow and keeps no state.
package reference

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// Action of a group.
type Action int

// The actions.
const (
	Forward Action = iota + 1
	Drop
	Local
	Connected
)

// Hop is a next hop. One that is not resolved has no addresses.
type Hop struct {
	Resolved         bool
	Link             uint32
	Source, Neighbor [6]byte
	MTU              int
}

// Group is what a route leads to.
type Group struct {
	Action Action
	Hops   []Hop
}

// Route is one route.
type Route struct {
	Prefix netip.Prefix
	Group  Group
}

// Router is a table and a port.
type Router struct {
	Address [6]byte // of the port that packets arrive by
	Enabled bool
	Routes  []Route
}

// Verdict is what becomes of a packet.
type Verdict int

// The verdicts.
const (
	ToKernel Verdict = iota + 1
	Discarded
	Sent
)

// Outcome is a verdict with its reason. A packet that is sent may leave as any of Frames by the link of the same place.
type Outcome struct {
	Verdict Verdict
	Reason  string
	Frames  [][]byte
	Links   []uint32
}

func punt(reason string) Outcome { return Outcome{Verdict: ToKernel, Reason: reason} }
func drop(reason string) Outcome { return Outcome{Verdict: Discarded, Reason: reason} }

const ethernet = 14

// Process decides about a frame of at least 14 bytes.
func (r *Router) Process(frame []byte) Outcome {
	if !r.Enabled {
		return punt("port-disabled")
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800, 0x86dd:
	case 0x0806:
		return punt("arp")
	case 0x8100, 0x88a8:
		return punt("vlan")
	default:
		return punt("ethertype")
	}
	if !bytes.Equal(frame[:6], r.Address[:]) {
		if frame[0]&1 == 1 {
			return punt("link-group")
		}
		return punt("other-host")
	}
	if binary.BigEndian.Uint16(frame[12:]) == 0x0800 {
		return r.v4(frame)
	}
	return r.v6(frame)
}

func (r *Router) v4(frame []byte) Outcome {
	p := frame[ethernet:]
	if len(p) < 20 {
		return drop("runt")
	}
	header := int(p[0]&0xf) * 4
	if p[0]>>4 != 4 || header < 20 {
		return drop("bad-header")
	}
	length := int(binary.BigEndian.Uint16(p[2:]))
	if length < header || length > len(p) {
		return drop("bad-length")
	}
	if header > 20 {
		return punt("options")
	}
	if checksum(p[:20]) != 0 {
		return drop("bad-checksum")
	}
	from, to := netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	switch {
	case to == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return punt("broadcast")
	case to.IsMulticast():
		return punt("multicast")
	case neverRouted(to):
		return drop("martian-destination")
	case neverRouted(from) || from.IsMulticast():
		return drop("martian-source")
	case from.IsLinkLocalUnicast() || to.IsLinkLocalUnicast():
		return punt("link-local")
	}
	g, outcome := r.decide(to, p[8])
	if g == nil {
		return outcome
	}
	return g.send(frame, length, func(out []byte) {
		q := out[ethernet:]
		q[8]--
		q[10], q[11] = 0, 0
		binary.BigEndian.PutUint16(q[10:], checksum(q[:20]))
	})
}

// neverRouted: 0/8, 127/8 and class E (RFC 1122, section 3.2.1.3; RFC 1812, section 5.3.7).
func neverRouted(a netip.Addr) bool {
	b := a.As4()
	return b[0] == 0 || b[0] == 127 || b[0] >= 240
}

func (r *Router) v6(frame []byte) Outcome {
	p := frame[ethernet:]
	if len(p) < 40 {
		return drop("runt")
	}
	if p[0]>>4 != 6 {
		return drop("bad-header")
	}
	length := int(binary.BigEndian.Uint16(p[4:])) + 40
	if length > len(p) {
		return drop("bad-length")
	}
	from, to := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	switch {
	case to.IsMulticast():
		return punt("multicast")
	case to == netip.IPv6Unspecified() || to == netip.IPv6Loopback():
		return drop("martian-destination")
	case from.IsMulticast() || from == netip.IPv6Unspecified() || from == netip.IPv6Loopback():
		return drop("martian-source")
	case from.IsLinkLocalUnicast() || to.IsLinkLocalUnicast():
		return punt("link-local")
	case p[6] == 0:
		return punt("hop-by-hop")
	}
	g, outcome := r.decide(to, p[7])
	if g == nil {
		return outcome
	}
	return g.send(frame, length, func(out []byte) { out[ethernet+7]-- })
}

// decide finds the group that sends to an address, or what becomes of the packet otherwise.
func (r *Router) decide(to netip.Addr, hops byte) (*Group, Outcome) {
	best := -1
	for i, route := range r.Routes {
		if route.Prefix.Contains(to) && (best < 0 || route.Prefix.Bits() > r.Routes[best].Prefix.Bits()) {
			best = i
		}
	}
	if best < 0 {
		return nil, punt("no-route")
	}
	g := &r.Routes[best].Group
	switch {
	case g.Action == Drop:
		return nil, drop("route-drop")
	case g.Action == Local:
		return nil, punt("local")
	case g.Action == Connected:
		return nil, punt("glean")
	case hops <= 1:
		return nil, punt("ttl-expired")
	}
	return g, Outcome{}
}

// send lists every way the packet may leave.
func (g *Group) send(frame []byte, length int, rewrite func([]byte)) Outcome {
	o := Outcome{Verdict: Sent, Reason: "forwarded"}
	fits := true
	for _, h := range g.Hops {
		if !h.Resolved {
			continue
		}
		fits = fits && length <= h.MTU
		out := bytes.Clone(frame)
		copy(out, h.Neighbor[:])
		copy(out[6:], h.Source[:])
		rewrite(out)
		o.Frames, o.Links = append(o.Frames, out), append(o.Links, h.Link)
	}
	if len(o.Frames) == 0 {
		return punt("unresolved")
	}
	if !fits {
		return punt("too-big")
	}
	return o
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
