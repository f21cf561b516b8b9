// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// Action is what becomes of the packets of a group.
type Action uint8

// The actions.
const (
	Forward   = Action(tables.ActionForward)
	Drop      = Action(tables.ActionDrop)
	Local     = Action(tables.ActionLocal)
	Connected = Action(tables.ActionConnected)
)

// Hop is one next hop of a group. The interface need not exist.
type Hop struct {
	Interface string
	Address   netip.Addr // invalid for Local and Connected
	Weight    uint32     // 0 means 1
}

// Group is a next-hop group as its programmer names it.
type Group struct {
	ID     uint32
	Action Action
	Hops   []Hop
}

// Columns are routes of one family: prefixes of 5 or 17 bytes (address, then length) with the group of each,
// and prefixes to withdraw. Withdrawing what does not exist changes nothing.
type Columns struct {
	Prefixes  []byte
	Groups    []uint32
	Withdrawn []byte
}

// Batch is one transaction.
type Batch struct {
	Groups []Group
	V4, V6 Columns
}

// Sentinels of what a programmer can do wrong. A full table is a *fib.LimitError.
var (
	// ErrFenced: somebody with a newer token was here.
	ErrFenced = errors.New("fencing token is older than one already seen")
	// ErrSuperseded: a newer session has begun.
	ErrSuperseded = errors.New("a newer session of the programmer has begun")
	// ErrInvalid: the batch makes no sense.
	ErrInvalid = errors.New("invalid")
)

// RouteError names the route at which a batch failed.
type RouteError struct {
	Route string
	Err   error
}

func (e *RouteError) Error() string { return e.Route + ": " + e.Err.Error() }
func (e *RouteError) Unwrap() error { return e.Err }

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// check refuses a group that cannot be.
func (g Group) check() error {
	switch {
	case g.ID == 0 || g.ID >= 1<<31:
		return invalid("group id %d is not in 1 to 2^31-1", g.ID)
	case g.Action < Forward || g.Action > Connected:
		return invalid("group %d has action %d", g.ID, g.Action)
	case len(g.Hops) > tables.MaxMembers:
		return invalid("group %d has %d next hops, limit group-members is %d", g.ID, len(g.Hops), tables.MaxMembers)
	case g.Action == Forward && len(g.Hops) == 0:
		return invalid("group %d forwards to nothing", g.ID)
	case g.Action == Connected && len(g.Hops) != 1:
		return invalid("group %d is connected to %d links", g.ID, len(g.Hops))
	}
	for _, h := range g.Hops {
		switch {
		case g.Action == Forward && !h.Address.IsValid():
			return invalid("group %d has a next hop without an address", g.ID)
		case (g.Action == Forward || g.Action == Connected) && (h.Interface == "" || len(h.Interface) > 15):
			return invalid("group %d has a next hop on interface %q", g.ID, h.Interface)
		}
	}
	return nil
}

// content is equal for groups that send packets the same way.
func (g Group) content() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", g.Action)
	for _, h := range sortedHops(g.Hops) {
		fmt.Fprintf(&b, "|%s,%s,%d", h.Interface, h.Address, h.weight())
	}
	return b.String()
}

// sortedHops gives hops an order of their own, so that members keep their numbers.
func sortedHops(hops []Hop) []Hop {
	s := slices.Clone(hops)
	slices.SortStableFunc(s, func(a, b Hop) int {
		if c := strings.Compare(a.Interface, b.Interface); c != 0 {
			return c
		}
		return a.Address.Compare(b.Address)
	})
	return s
}

func (h Hop) weight() uint32 {
	if h.Weight == 0 {
		return 1
	}
	return h.Weight
}

// route decodes the i-th of a column of prefixes.
func route(column []byte, i, octets int) (key []byte, bits int) {
	p := column[i*(octets+1) : (i+1)*(octets+1)]
	return p[:octets], int(p[octets])
}

// checkColumn refuses malformed prefixes.
func checkColumn(column []byte, octets int) error {
	if len(column)%(octets+1) != 0 {
		return invalid("%d bytes of prefixes are not a multiple of %d", len(column), octets+1)
	}
	for i := range len(column) / (octets + 1) {
		key, bits := route(column, i, octets)
		if bits > octets*8 || hostBits(key, bits) {
			return &RouteError{prefixText(key, bits), invalid("not a prefix")}
		}
	}
	return nil
}

func hostBits(key []byte, bits int) bool {
	if bits == len(key)*8 {
		return false
	}
	if key[bits/8]<<(bits%8) != 0 {
		return true
	}
	for _, o := range key[bits/8+1:] {
		if o != 0 {
			return true
		}
	}
	return false
}

func prefixText(key []byte, bits int) string {
	a, _ := netip.AddrFromSlice(key)
	return fmt.Sprintf("%s/%d", a, bits)
}
