// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Knob is a per-interface switch of the kernel (Documentation/networking/ip-sysctl.rst) that decides
// whether packets which arrive on the link are forwarded.
type Knob int

// The knobs. ForceForwarding6 exists since Linux 6.17; before, IPv6 is forwarded only when all
// interfaces together are told to.
const (
	Forwarding4 Knob = iota
	Forwarding6
	ForceForwarding6
	knobs
)

func (k Knob) String() string {
	return [...]string{"ipv4 forwarding", "ipv6 forwarding", "ipv6 force_forwarding"}[k]
}

func (k Knob) file(link string) string {
	place := [...]string{"ipv4/conf/%s/forwarding", "ipv6/conf/%s/forwarding", "ipv6/conf/%s/force_forwarding"}[k]
	return filepath.Join("/proc/sys/net", fmt.Sprintf(place, link))
}

// Position of a knob.
type Position uint8

// The positions. Absent: the kernel has no such knob for the link.
const (
	Absent Position = iota
	Off
	On
)

// Knobs is the position of each knob.
type Knobs [knobs]Position

// SetKnob turns a knob of a link. The network namespace is the calling process's.
func (c *Conn) SetKnob(link string, k Knob, p Position) error {
	c.writes.Add(1)
	text := "0"
	if p == On {
		text = "1"
	}
	return os.WriteFile(k.file(link), []byte(text), 0)
}

// Indices in the kernel's arrays of interface settings: enum in linux/ip.h (less one) and linux/ipv6.h.
const (
	attrInetConf   = 1
	attrInet6Conf  = 2
	confForwarding = 0
	confDisable6   = 26
	confForce6     = 59
)

// settings reads the knobs, and whether IPv6 is switched off, from IFLA_AF_SPEC.
func settings(spec []byte) (k Knobs, disabled6 bool) {
	families, err := nl.ParseRouteAttr(spec)
	if err != nil {
		return k, false
	}
	for _, f := range families {
		attrs, err := nl.ParseRouteAttr(f.Value)
		if err != nil {
			continue
		}
		for _, a := range attrs {
			switch {
			case f.Attr.Type == unix.AF_INET && a.Attr.Type == attrInetConf:
				k[Forwarding4] = position(a.Value, confForwarding)
			case f.Attr.Type == unix.AF_INET6 && a.Attr.Type == attrInet6Conf:
				k[Forwarding6] = position(a.Value, confForwarding)
				k[ForceForwarding6] = position(a.Value, confForce6)
				disabled6 = position(a.Value, confDisable6) == On
			}
		}
	}
	return k, disabled6
}

func position(array []byte, index int) Position {
	if len(array) < 4*(index+1) {
		return Absent
	}
	if number(array[4*index:4*index+4]) == 0 {
		return Off
	}
	return On
}
