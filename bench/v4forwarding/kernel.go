// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The peer's table is the kernel's: real devices, permanent neighbours and routes by netlink, in the
// namespace of the calling thread.

const peerHops = 64

// peerLink makes a link with neighbours to route to, and returns its index.
func peerLink() (int, error) {
	for _, path := range []string{"all", "default", "lo"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+path+"/forwarding", []byte("1"), 0); err != nil {
			return 0, err
		}
	}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "out"}, PeerName: "outpeer"}); err != nil {
		return 0, fmt.Errorf("make a link: %w", err)
	}
	for _, name := range []string{"lo", "out", "outpeer"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return 0, err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return 0, err
		}
	}
	out, err := netlink.LinkByName("out")
	if err != nil {
		return 0, err
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(100, 64, 255, 254), Mask: net.CIDRMask(16, 32)}}
	if err := netlink.AddrAdd(out, address); err != nil {
		return 0, err
	}
	for h := range peerHops {
		err := netlink.NeighSet(&netlink.Neigh{
			LinkIndex: out.Attrs().Index, IP: net.IPv4(100, 64, 0, byte(h+1)).To4(), State: netlink.NUD_PERMANENT,
			HardwareAddr: net.HardwareAddr{2, 1, 0, 0, 0, byte(h)},
		})
		if err != nil {
			return 0, fmt.Errorf("neighbour %d: %w", h, err)
		}
	}
	return out.Attrs().Index, nil
}

// installRoutes writes the routes by raw netlink, many messages in one send and none acknowledged, and then
// counts what arrived.
func installRoutes(routes []route, link int) error {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20); err != nil {
		return err
	}
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	var b []byte
	for i, r := range routes {
		b = appendRoute(b, r, link)
		if len(b) > 1<<19 || i == len(routes)-1 {
			if err := unix.Sendto(s, b, 0, to); err != nil {
				return fmt.Errorf("send routes: %w", err)
			}
			b = b[:0]
		}
	}
	return nil
}

// appendRoute appends one RTM_NEWROUTE.
func appendRoute(b []byte, r route, link int) []byte {
	const size = unix.SizeofNlMsghdr + unix.SizeofRtMsg + 3*8
	n := binary.NativeEndian
	b = n.AppendUint32(b, size)
	b = n.AppendUint16(b, unix.RTM_NEWROUTE)
	b = n.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_CREATE)
	b = append(b, make([]byte, 8)...) // sequence, port
	b = append(b, unix.AF_INET, byte(r.bits), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST)
	b = n.AppendUint32(b, unix.RTNH_F_ONLINK)
	b = append(attribute(b, unix.RTA_DST), byte(r.address>>24), byte(r.address>>16), byte(r.address>>8), byte(r.address))
	b = append(attribute(b, unix.RTA_GATEWAY), 100, 64, 0, byte(r.group%peerHops+1))
	return n.AppendUint32(attribute(b, unix.RTA_OIF), uint32(link))
}

func attribute(b []byte, kind uint16) []byte {
	return binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(b, 8), kind)
}
