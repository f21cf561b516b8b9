// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// eventBuffer is the socket's receive buffer in bytes; when it overflows, everything is read again.
const eventBuffer = 4 << 20

// Subject is what an event is about.
type Subject int

// The subjects.
const (
	// Everything: events were lost; all that is known is old.
	Everything Subject = iota
	LinkChanged
	AddressChanged
	NeighborChanged
	// SettingChanged is about knobs.
	SettingChanged
	// RouteRemoved is about connected routes of the kernel.
	RouteRemoved
)

// Event says that something about a link changed.
type Event struct {
	Subject Subject
	Index   int
	// Name is the link's, for LinkChanged only.
	Name string
	// Gone: the link was removed, or left the namespace.
	Gone bool
}

// Events is a subscription to the kernel's changes.
type Events struct{ socket *nl.NetlinkSocket }

// Subscribe starts to listen in the network namespace of the calling thread. Changes after its return
// are not missed.
func Subscribe() (*Events, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_NEIGH,
		unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink events: %w", err)
	}
	filter := routeFilter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err = errors.Join(s.SetReceiveBufferSize(eventBuffer, true),
		unix.SetsockoptSockFprog(s.GetFd(), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program))
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("netlink events: %w", err)
	}
	return &Events{socket: s}, nil
}

// Run calls hear for each batch of events until ctx ends (then it returns nil) or the socket fails.
// It closes the subscription.
func (e *Events) Run(ctx context.Context, hear func([]Event)) error {
	stop := context.AfterFunc(ctx, e.socket.Close)
	defer func() {
		if stop() {
			e.socket.Close()
		}
	}()
	for {
		messages, from, err := e.socket.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			hear([]Event{{Subject: Everything}})
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("netlink events: %w", err)
		case from.Pid != nl.PidKernel:
			// Anybody may send to a netlink socket; only the kernel is believed.
		default:
			if batch := events(messages); len(batch) > 0 {
				hear(batch)
			}
		}
	}
}

func events(messages []syscall.NetlinkMessage) []Event {
	var batch []Event
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			if l, err := parseLink(m.Data); err == nil {
				batch = append(batch, Event{LinkChanged, l.Index, l.Name, m.Header.Type == unix.RTM_DELLINK})
			}
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			if len(m.Data) >= unix.SizeofIfAddrmsg {
				batch = append(batch, Event{Subject: AddressChanged, Index: int(nl.DeserializeIfAddrmsg(m.Data).Index)})
			}
		case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
			if len(m.Data) >= sizeofNdMessage {
				batch = append(batch, Event{Subject: NeighborChanged, Index: int(binary.NativeEndian.Uint32(m.Data[4:]))})
			}
		case unix.RTM_DELROUTE:
			if r, err := parseRoute(m.Data); err == nil && r.connected {
				batch = append(batch, Event{Subject: RouteRemoved, Index: r.link})
			}
		case unix.RTM_NEWNETCONF:
			if index, ok := settingLink(m.Data); ok {
				batch = append(batch, Event{Subject: SettingChanged, Index: index})
			}
		}
	}
	return batch
}

// settingLink returns the link that a message about settings names; false when it is about all of them
// or about those to come.
func settingLink(row []byte) (int, bool) {
	const header, attrLink = 4, 1
	if len(row) < header {
		return 0, false
	}
	attrs, err := nl.ParseRouteAttr(row[header:])
	if err != nil {
		return 0, false
	}
	for _, a := range attrs {
		if a.Attr.Type == attrLink {
			index := int32(number(a.Value))
			return int(index), index > 0
		}
	}
	return 0, false
}
