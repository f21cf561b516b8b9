// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attrProtocol is IFA_PROTO (linux/if_addr.h), which the libraries do not name yet.
const attrProtocol = 11

// Addresses returns the addresses of one link, of all links for index 0 (see AddressesByLink).
func (c *Conn) Addresses(index int) ([]Address, error) {
	byLink, err := c.addresses(index)
	return byLink[index], err
}

// AddressesByLink returns the addresses of every link by its index.
func (c *Conn) AddressesByLink() (map[int][]Address, error) { return c.addresses(0) }

func (c *Conn) addresses(index int) (map[int][]Address, error) {
	byLink := map[int][]Address{}
	for _, f := range []int{unix.AF_INET, unix.AF_INET6} {
		m := nl.NewIfAddrmsg(f)
		m.Index = uint32(index)
		rows, err := c.dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, m)
		if err != nil {
			return nil, fmt.Errorf("reading addresses: %w", err)
		}
		for _, row := range rows {
			link, a, err := parseAddress(row)
			if err != nil {
				return nil, err
			}
			byLink[link] = append(byLink[link], a)
		}
	}
	return byLink, nil
}

func parseAddress(row []byte) (int, Address, error) {
	if len(row) < unix.SizeofIfAddrmsg {
		return 0, Address{}, errShort
	}
	m := nl.DeserializeIfAddrmsg(row)
	attrs, err := nl.ParseRouteAttr(row[unix.SizeofIfAddrmsg:])
	if err != nil {
		return 0, Address{}, fmt.Errorf("address attributes: %w", err)
	}
	a := Address{Flags: uint32(m.Flags), Scope: m.Scope}
	var ip, local netip.Addr
	for _, attr := range attrs {
		switch attr.Attr.Type {
		case unix.IFA_ADDRESS:
			ip, _ = netip.AddrFromSlice(attr.Value)
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(attr.Value)
		case unix.IFA_FLAGS:
			a.Flags = uint32(number(attr.Value))
		case attrProtocol:
			a.Protocol = uint8(number(attr.Value))
		}
	}
	// On a point-to-point address IFA_ADDRESS is the far end.
	if local.IsValid() {
		ip = local
	}
	a.Prefix = netip.PrefixFrom(ip, int(m.Prefixlen))
	return int(m.Index), a, nil
}

// AddAddress adds an address to a link. Duplicate address detection is left out, so that the address
// works at once; the connected route is the kernel's, unless the flags say IFA_F_NOPREFIXROUTE. Other
// flags are not taken over.
func (c *Conn) AddAddress(index int, a Address) error {
	ip := a.Prefix.Addr()
	m := nl.NewIfAddrmsg(family(ip))
	m.Index, m.Prefixlen, m.Scope = uint32(index), uint8(a.Prefix.Bits()), a.Scope
	parts := []nl.NetlinkRequestData{
		m,
		nl.NewRtAttr(unix.IFA_LOCAL, octets(ip)),
		nl.NewRtAttr(unix.IFA_ADDRESS, octets(ip)),
		nl.NewRtAttr(attrProtocol, []byte{a.Protocol}),
	}
	flags := a.Flags & unix.IFA_F_NOPREFIXROUTE
	if ip.Is6() {
		flags |= unix.IFA_F_NODAD
	}
	parts = append(parts, nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(flags)))
	if ip.Is4() && a.Prefix.Bits() < 31 {
		parts = append(parts, nl.NewRtAttr(unix.IFA_BROADCAST, octets(Broadcast(a.Prefix))))
	}
	return c.write(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, parts...)
}

// Taken reports whether the kernel takes packets that are for the address. It does a little later than it
// lists an IPv6 address (the route to it is made by its own worker), at once for IPv4.
func (c *Conn) Taken(index int, ip netip.Addr) bool {
	const typeOffset = 7
	m := &nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family(ip)), Dst_len: uint8(ip.BitLen())}}
	r := c.request(unix.RTM_GETROUTE, 0)
	r.AddData(m)
	r.AddData(nl.NewRtAttr(unix.RTA_DST, octets(ip)))
	if ip.IsLinkLocalUnicast() {
		r.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
	}
	rows, err := r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
	if err != nil || len(rows) == 0 || len(rows[0]) < unix.SizeofRtMsg {
		// No route is an answer too.
		return false
	}
	return rows[0][typeOffset] == unix.RTN_LOCAL
}

// DeleteAddress removes an address from a link.
func (c *Conn) DeleteAddress(index int, p netip.Prefix) error {
	m := nl.NewIfAddrmsg(family(p.Addr()))
	m.Index, m.Prefixlen = uint32(index), uint8(p.Bits())
	return c.write(unix.RTM_DELADDR, 0, m, nl.NewRtAttr(unix.IFA_LOCAL, octets(p.Addr())))
}

// Broadcast is the directed broadcast address of an IPv4 subnet (RFC 919).
func Broadcast(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := range b {
		host := 8*(i+1) - p.Bits()
		b[i] |= byte(1<<max(0, min(8, host)) - 1)
	}
	return netip.AddrFrom4(b)
}
