// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Action is what the dataplane does with a packet whose destination matches a route.
type Action uint8

// The actions of ashlar.dataplane.v1.
const (
	Forward Action = iota + 1
	Drop
	Local
	Connected
)

func (a Action) String() string {
	switch a {
	case Forward:
		return "forward"
	case Drop:
		return "drop"
	case Local:
		return "local"
	case Connected:
		return "connected"
	}
	return "none"
}

// Hop is one resolved next hop. Address is invalid for Connected and absent for Local.
type Hop struct {
	Interface string
	Address   netip.Addr
	Weight    uint32
}

// Content is what a group makes the dataplane do.
type Content struct {
	Action Action
	Hops   []Hop
}

// Equal reports whether two contents mean the same to the dataplane.
func (c Content) Equal(o Content) bool {
	return c.Action == o.Action && slices.Equal(c.Hops, o.Hops)
}

// String writes a content the same way whenever it means the same: the action, then each hop as
// address%interface, with *weight where it is not 1.
func (c Content) String() string {
	var b strings.Builder
	b.WriteString(c.Action.String())
	for _, h := range c.Hops {
		b.WriteByte(' ')
		if h.Address.IsValid() {
			b.WriteString(h.Address.String())
		}
		b.WriteString("%" + h.Interface)
		if h.Weight != 1 {
			fmt.Fprintf(&b, "*%d", h.Weight)
		}
	}
	return b.String()
}

// Group is a next-hop group that any number of routes share. A change of its content is one write,
// whatever the number of routes.
type Group struct {
	id      uint32
	content Content

	version uint32 // of content, grows with each change
	sent    uint32 // version last sent in this session
	acked   uint32 // version last acknowledged

	users   int // slots whose sent state names the group: while none, the dataplane has it not
	held    int // slots whose sent or acknowledged state names the group: while any, the id is taken
	retired bool

	seq     uint64
	queued  bool
	refusal *Refusal
}

// ID is the group's number on the wire, stable for the life of the group.
func (g *Group) ID() uint32 { return g.id }

// Content is what the group should do.
func (g *Group) Content() Content { return g.content }

// Refusal is the dataplane's answer to something it cannot have.
type Refusal struct {
	Reason string
	Code   int32 // google.rpc.Code
}

// present reports whether the dataplane knows the group, once everything sent has been applied.
func (g *Group) present() bool { return g.users > 0 }
