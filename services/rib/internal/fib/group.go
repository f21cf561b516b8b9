// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import (
	"net/netip"
	"slices"
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
