// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes of neighbours (linux/neighbour.h).
const (
	ndaDestination = 1
	ndaHardware    = 2
	ndaInterface   = 8
	ndaProtocol    = 12
)

// ndMessage is struct ndmsg.
type ndMessage struct {
	family uint8
	index  uint32
	state  uint16
	flags  uint8
}

const sizeofNdMessage = 12

func (m ndMessage) Len() int { return sizeofNdMessage }

func (m ndMessage) Serialize() []byte {
	b := make([]byte, sizeofNdMessage)
	b[0] = m.family
	binary.NativeEndian.PutUint32(b[4:], m.index)
	binary.NativeEndian.PutUint16(b[8:], m.state)
	b[10] = m.flags
	return b
}

// Neighbors returns the neighbours on one link, both families.
func (c *Conn) Neighbors(index int) ([]Neighbor, error) {
	rows, err := c.dump(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, ndMessage{},
		nl.NewRtAttr(ndaInterface, nl.Uint32Attr(uint32(index))))
	if err != nil {
		return nil, fmt.Errorf("reading neighbours: %w", err)
	}
	var all []Neighbor
	for _, row := range rows {
		link, n, err := parseNeighbor(row)
		if err != nil {
			return nil, err
		}
		if link == index && n.Address.IsValid() {
			all = append(all, n)
		}
	}
	return all, nil
}

func parseNeighbor(row []byte) (int, Neighbor, error) {
	if len(row) < sizeofNdMessage {
		return 0, Neighbor{}, errShort
	}
	attrs, err := nl.ParseRouteAttr(row[sizeofNdMessage:])
	if err != nil {
		return 0, Neighbor{}, fmt.Errorf("neighbour attributes: %w", err)
	}
	n := Neighbor{State: binary.NativeEndian.Uint16(row[8:]), Router: row[10]&unix.NTF_ROUTER != 0}
	for _, a := range attrs {
		switch a.Attr.Type {
		case ndaDestination:
			n.Address, _ = netip.AddrFromSlice(a.Value)
		case ndaHardware:
			n.Hardware = net.HardwareAddr(a.Value)
		case ndaProtocol:
			n.Protocol = uint8(number(a.Value))
		}
	}
	return int(binary.NativeEndian.Uint32(row[4:])), n, nil
}

// AddNeighbor adds a permanent neighbour to a link that is up, in place of what is known for the address.
func (c *Conn) AddNeighbor(index int, n Neighbor) error {
	m := ndMessage{family: uint8(family(n.Address)), index: uint32(index), state: unix.NUD_PERMANENT}
	return c.write(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, m,
		nl.NewRtAttr(ndaDestination, octets(n.Address)),
		nl.NewRtAttr(ndaHardware, n.Hardware),
		nl.NewRtAttr(ndaProtocol, []byte{n.Protocol}))
}

// DeleteNeighbor removes a neighbour from a link.
func (c *Conn) DeleteNeighbor(index int, ip netip.Addr) error {
	m := ndMessage{family: uint8(family(ip)), index: uint32(index)}
	return c.write(unix.RTM_DELNEIGH, 0, m, nl.NewRtAttr(ndaDestination, octets(ip)))
}
