// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package program

import (
	"net/netip"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
)

// request puts a batch on the wire.
func request(b *fib.Batch) *dataplanev1.ProgramRequest {
	if b.EndOfSync {
		end := &dataplanev1.EndOfSync{Sequence: b.Sequence}
		return &dataplanev1.ProgramRequest{Message: &dataplanev1.ProgramRequest_EndOfSync{EndOfSync: end}}
	}
	out := &dataplanev1.Batch{Sequence: b.Sequence}
	for _, g := range b.Groups {
		out.Groups = append(out.Groups, wireGroup(g))
	}
	out.V4, out.V6 = columns(b.Routes)
	return &dataplanev1.ProgramRequest{Message: &dataplanev1.ProgramRequest_Batch{Batch: out}}
}

func wireGroup(g fib.GroupWrite) *dataplanev1.NextHopGroup {
	out := &dataplanev1.NextHopGroup{Id: g.ID(), Action: wireAction(g.Action)}
	for _, h := range g.Hops {
		out.NextHops = append(out.NextHops, &dataplanev1.NextHop{
			Interface: h.Interface, Address: h.Address.AsSlice(), Weight: h.Weight,
		})
	}
	return out
}

func wireAction(a fib.Action) dataplanev1.Action {
	switch a {
	case fib.Forward:
		return dataplanev1.Action_ACTION_FORWARD
	case fib.Drop:
		return dataplanev1.Action_ACTION_DROP
	case fib.Local:
		return dataplanev1.Action_ACTION_LOCAL
	case fib.Connected:
		return dataplanev1.Action_ACTION_CONNECTED
	}
	return dataplanev1.Action_ACTION_UNSPECIFIED
}

// columns sorts routes by family; a family without any is nil.
func columns(routes []fib.RouteWrite) (v4, v6 *dataplanev1.RouteColumns) {
	sizes := [2][2]int{} // by family: added, withdrawn
	for _, w := range routes {
		sizes[index(w.Prefix())][boolIndex(w.Group() == 0)]++
	}
	var out [2]*dataplanev1.RouteColumns
	for i, octets := range []int{4, 16} {
		if sizes[i] != [2]int{} {
			out[i] = &dataplanev1.RouteColumns{
				Prefixes:  make([]byte, 0, sizes[i][0]*(octets+1)),
				Groups:    make([]uint32, 0, sizes[i][0]),
				Withdrawn: make([]byte, 0, sizes[i][1]*(octets+1)),
			}
		}
	}
	for _, w := range routes {
		c := out[index(w.Prefix())]
		if id := w.Group(); id != 0 {
			c.Prefixes = appendPrefix(c.Prefixes, w.Prefix())
			c.Groups = append(c.Groups, id)
		} else {
			c.Withdrawn = appendPrefix(c.Withdrawn, w.Prefix())
		}
	}
	return out[0], out[1]
}

func appendPrefix(b []byte, p netip.Prefix) []byte {
	if a := p.Addr(); a.Is4() {
		octets := a.As4()
		b = append(b, octets[:]...)
	} else {
		octets := a.As16()
		b = append(b, octets[:]...)
	}
	return append(b, byte(p.Bits()))
}

func index(p netip.Prefix) int { return boolIndex(!p.Addr().Is4()) }

func boolIndex(b bool) int {
	if b {
		return 1
	}
	return 0
}

// failures reads what the dataplane refused.
func failures(a *dataplanev1.Acknowledged) []fib.Failure {
	var out []fib.Failure
	for _, f := range a.GetFailures() {
		out = append(out, fib.Failure{
			Sequence: f.GetSequence(), Route: f.GetRoute(),
			Refusal: fib.Refusal{Reason: f.GetReason(), Code: f.GetCode()},
		})
	}
	return out
}
