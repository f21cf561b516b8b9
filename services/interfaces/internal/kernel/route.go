// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// metric6 is what the kernel gives its own connected routes of IPv6 (IP6_RT_PRIO_ADDRCONF).
const metric6 = 256

// Connected returns the subnets to which the kernel has a connected route of its own on the link, in the main
// table.
func (c *Conn) Connected(index int) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, f := range []uint8{unix.AF_INET, unix.AF_INET6} {
		m := &nl.RtMsg{RtMsg: unix.RtMsg{Family: f, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_KERNEL, Type: unix.RTN_UNICAST}}
		rows, err := c.dump(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, m, nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
		if errors.Is(err, unix.ENOENT) { // the table is made with its first route
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading connected routes: %w", err)
		}
		for _, row := range rows {
			r, err := parseRoute(row)
			if err != nil {
				return nil, err
			}
			if r.connected && r.link == index {
				all = append(all, r.prefix)
			}
		}
	}
	return all, nil
}

// route is a row of the kernel's routing table.
type route struct {
	prefix netip.Prefix
	link   int
	// connected: the kernel made it, and it leads to one link without a gateway.
	connected bool
}

func parseRoute(row []byte) (route, error) {
	if len(row) < unix.SizeofRtMsg {
		return route{}, errShort
	}
	const length, protocol, kind = 1, 5, 7
	attrs, err := nl.ParseRouteAttr(row[unix.SizeofRtMsg:])
	if err != nil {
		return route{}, fmt.Errorf("route attributes: %w", err)
	}
	r := route{connected: row[protocol] == unix.RTPROT_KERNEL && row[kind] == unix.RTN_UNICAST}
	ip := netip.IPv4Unspecified()
	if row[0] == unix.AF_INET6 {
		ip = netip.IPv6Unspecified()
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.RTA_DST:
			ip, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_OIF:
			r.link = number(a.Value)
		case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_MULTIPATH:
			r.connected = false
		}
	}
	r.prefix = netip.PrefixFrom(ip, int(row[length]))
	return r, nil
}

// AddConnected makes the connected route of an address as the kernel does when it adds the address, so that
// it goes with the address. The link is up and has the address.
func (c *Conn) AddConnected(index int, address netip.Prefix) error {
	ip, subnet := address.Addr(), address.Masked()
	m := &nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family(ip)), Dst_len: uint8(subnet.Bits()),
		Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_KERNEL, Type: unix.RTN_UNICAST}}
	parts := []nl.NetlinkRequestData{m,
		nl.NewRtAttr(unix.RTA_DST, octets(subnet.Addr())),
		nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))),
	}
	if ip.Is4() {
		// What somebody put in its place goes.
		m.Scope = unix.RT_SCOPE_LINK
		return c.write(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, append(parts, nl.NewRtAttr(unix.RTA_PREFSRC, octets(ip)))...)
	}
	// Each link has a route to fe80::/64, so neither NLM_F_REPLACE nor NLM_F_EXCL, which look at the subnet alone.
	return c.write(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, append(parts, nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(metric6)))...)
}

// routeFilter is a program for the events' socket. Of routes it lets through only the end of those that the
// kernel made: others put thousands of routes into the same tables at once.
func routeFilter() []unix.SockFilter {
	const (
		load16, load8    = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		equal, verdict   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
		kindAt, originAt = 4, unix.SizeofNlMsghdr + 5
		everything       = 1<<32 - 1
	)
	return []unix.SockFilter{
		{Code: load16, K: kindAt},
		{Code: equal, Jf: 3, K: swapped(unix.RTM_DELROUTE)},
		{Code: load8, K: originAt},
		{Code: equal, Jt: 2, K: unix.RTPROT_KERNEL},
		{Code: verdict, K: 0},
		{Code: equal, Jt: 1, K: swapped(unix.RTM_NEWROUTE)},
		{Code: verdict, K: everything},
		{Code: verdict, K: 0},
	}
}

// swapped is a number of the host's order as the filter, which reads in network order, sees it.
func swapped(n uint16) uint32 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], n)
	return uint32(binary.BigEndian.Uint16(b[:]))
}
