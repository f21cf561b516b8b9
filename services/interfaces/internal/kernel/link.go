// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// skipStatistics asks the kernel to leave out counters, which cost it more than the rest together.
const skipStatistics = 1 << 3 // RTEXT_FILTER_SKIP_STATS

// MaxAlias is the longest link alias in bytes (IFALIASZ without its closing zero).
const MaxAlias = 255

// LinkByName returns the link of that name; false when there is none.
func (c *Conn) LinkByName(name string) (Link, bool, error) {
	if len(name) >= unix.IFNAMSIZ || name == "" {
		return Link{}, false, nil
	}
	r := c.request(unix.RTM_GETLINK, 0)
	r.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	r.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	r.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStatistics)))
	rows, err := r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if Gone(err) {
		return Link{}, false, nil
	}
	if err != nil {
		return Link{}, false, fmt.Errorf("reading link %s: %w", name, err)
	}
	if len(rows) != 1 {
		return Link{}, false, fmt.Errorf("reading link %s: the kernel sent %d answers", name, len(rows))
	}
	l, err := parseLink(rows[0])
	return l, err == nil, err
}

// Links returns every link of the namespace.
func (c *Conn) Links() ([]Link, error) {
	rows, err := c.dump(unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC),
		nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStatistics)))
	if err != nil {
		return nil, fmt.Errorf("reading links: %w", err)
	}
	links := make([]Link, 0, len(rows))
	for _, row := range rows {
		l, err := parseLink(row)
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	return links, nil
}

var errShort = errors.New("netlink: message too short")

func parseLink(row []byte) (Link, error) {
	if len(row) < unix.SizeofIfInfomsg {
		return Link{}, errShort
	}
	m := nl.DeserializeIfInfomsg(row)
	attrs, err := nl.ParseRouteAttr(row[unix.SizeofIfInfomsg:])
	if err != nil {
		return Link{}, fmt.Errorf("link attributes: %w", err)
	}
	l := Link{Index: int(m.Index), Hardware: m.Type, Up: m.Flags&unix.IFF_UP != 0, Carrier: m.Flags&unix.IFF_LOWER_UP != 0}
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFLA_IFNAME:
			l.Name = nl.BytesToString(a.Value)
		case unix.IFLA_MTU:
			l.MTU = number(a.Value)
		case unix.IFLA_MIN_MTU:
			l.MinMTU = number(a.Value)
		case unix.IFLA_MAX_MTU:
			l.MaxMTU = number(a.Value)
		case unix.IFLA_ADDRESS:
			l.Address = net.HardwareAddr(a.Value)
		case unix.IFLA_OPERSTATE:
			l.Operational = uint8(number(a.Value))
		case unix.IFLA_CARRIER_CHANGES:
			l.CarrierChanges = number(a.Value)
		case unix.IFLA_IFALIAS:
			l.Alias = nl.BytesToString(a.Value)
		case unix.IFLA_AF_SPEC:
			l.Knobs, l.IPv6Disabled = settings(a.Value)
		case unix.IFLA_LINKINFO:
			l.Kind = linkKind(a.Value)
		}
	}
	return l, nil
}

func linkKind(info []byte) string {
	attrs, err := nl.ParseRouteAttr(info)
	if err != nil {
		return ""
	}
	for _, a := range attrs {
		if a.Attr.Type == nl.IFLA_INFO_KIND {
			return nl.BytesToString(a.Value)
		}
	}
	return ""
}

// number reads an attribute of 1, 2 or 4 bytes in host order; 0 when it is none of them.
func number(b []byte) int {
	switch len(b) {
	case 1:
		return int(b[0])
	case 2:
		return int(nl.NativeEndian().Uint16(b))
	case 4:
		return int(nl.NativeEndian().Uint32(b))
	}
	return 0
}

// SetUp sets the administrative state. Setting a link down makes the kernel forget its neighbours and
// IPv6 addresses.
func (c *Conn) SetUp(index int, up bool) error {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index, m.Change = int32(index), unix.IFF_UP
	if up {
		m.Flags = unix.IFF_UP
	}
	return c.write(unix.RTM_NEWLINK, 0, m)
}

// SetMTU sets the MTU in bytes of layer 3. Below 1280 the kernel forgets the link's IPv6 addresses.
func (c *Conn) SetMTU(index, mtu int) error {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(index)
	return c.write(unix.RTM_NEWLINK, 0, m, nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(mtu))))
}

// SetAlias sets the link's alias, at most MaxAlias bytes; "" removes it.
func (c *Conn) SetAlias(index int, alias string) error {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(index)
	return c.write(unix.RTM_NEWLINK, 0, m, nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
}
