// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package api serves ashlar.rib.v1: it turns messages into the table's own types and back, and its errors
// into status codes.
package api

import (
	"fmt"
	"net/netip"

	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/producer"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

const (
	maxDistance = 255
	// maxLinkName is the kernel's limit for names of interfaces.
	maxLinkName = 15
)

func prefixOf(w *ribv1.Prefix) (netip.Prefix, error) {
	a, ok := netip.AddrFromSlice(w.GetAddress())
	if !ok || a.Is4In6() {
		return netip.Prefix{}, fmt.Errorf("a prefix has an address of 4 or 16 bytes, this one has %d", len(w.GetAddress()))
	}
	if w.GetLength() > uint32(a.BitLen()) {
		return netip.Prefix{}, fmt.Errorf("%s has no prefix of length %d", a, w.GetLength())
	}
	p := netip.PrefixFrom(a, int(w.GetLength()))
	if p != p.Masked() {
		return p, fmt.Errorf("%s has host bits set", p)
	}
	return p, nil
}

// routeOf reads a producer's route and refuses what cannot be routed.
func routeOf(w *ribv1.Route) (producer.Route, error) {
	p, err := prefixOf(w.GetPrefix())
	if err != nil {
		return producer.Route{}, err
	}
	r := producer.Route{Prefix: p, Path: table.Path{
		Kind: fib.Drop, Distance: uint8(w.GetDistance()), Metric: w.GetMetric(),
	}}
	switch a := p.Addr(); {
	case a.IsMulticast() || a.IsLoopback() || a.Is6() && a.IsLinkLocalUnicast():
		return r, fmt.Errorf("%s is not unicast beyond the link", p)
	case w.GetDistance() > maxDistance:
		return r, fmt.Errorf("%s: distance %d is beyond %d", p, w.GetDistance(), maxDistance)
	case w.GetDrop() == (len(w.GetNextHops()) > 0):
		return r, fmt.Errorf("%s: want next hops or drop, and not both", p)
	case len(w.GetNextHops()) > table.MaxNextHops:
		return r, fmt.Errorf("%s: %d next hops, the limit is %d", p, len(w.GetNextHops()), table.MaxNextHops)
	}
	for _, h := range w.GetNextHops() {
		hop, err := hopOf(p, h)
		if err != nil {
			return r, err
		}
		r.Path.NextHops = append(r.Path.NextHops, hop)
		if r.Path.Kind = fib.Forward; !hop.Address.IsValid() {
			r.Path.Kind = fib.Connected
		}
		if r.Path.Kind == fib.Connected && len(w.GetNextHops()) > 1 {
			return r, fmt.Errorf("%s: a prefix on the link of %s has no other next hop", p, hop.Interface)
		}
	}
	return r, nil
}

func hopOf(p netip.Prefix, w *ribv1.NextHop) (table.NextHop, error) {
	h := table.NextHop{Interface: w.GetInterface(), Weight: w.GetWeight()}
	if len(h.Interface) > maxLinkName {
		return h, fmt.Errorf("%s: %q is too long for an interface", p, h.Interface)
	}
	a, ok := netip.AddrFromSlice(w.GetAddress())
	switch {
	case len(w.GetAddress()) == 0 && h.Interface != "":
		return h, nil
	case !ok:
		return h, fmt.Errorf("%s: a next hop has an address of 4 or 16 bytes, or an interface alone", p)
	case a.Is4() != p.Addr().Is4() || a.Is4In6():
		return h, fmt.Errorf("%s: the next hop %s is of another address family", p, a)
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
		return h, fmt.Errorf("%s: %s is not the address of a neighbour", p, a)
	case a.Is6() && a.IsLinkLocalUnicast() && h.Interface == "":
		return h, fmt.Errorf("%s: the link-local next hop %s needs an interface", p, a)
	}
	h.Address = a
	return h, nil
}

func wirePrefix(p netip.Prefix) *ribv1.Prefix {
	return &ribv1.Prefix{Address: p.Addr().AsSlice(), Length: uint32(p.Bits())}
}

func wirePath(s table.Status) *ribv1.Path {
	out := &ribv1.Path{
		Protocol: s.Source, Best: s.Best, Installed: s.Installed, Reason: s.Reason,
		Route: &ribv1.Route{
			Prefix: wirePrefix(s.Prefix), Distance: uint32(s.Distance), Metric: s.Metric, Drop: s.Kind == fib.Drop,
		},
	}
	for _, h := range s.NextHops {
		out.Route.NextHops = append(out.Route.NextHops, &ribv1.NextHop{
			Address: h.Address.AsSlice(), Interface: h.Interface, Weight: h.Weight,
		})
	}
	for _, h := range s.Resolved.Hops {
		out.Resolved = append(out.Resolved, &ribv1.NextHop{
			Address: h.Address.AsSlice(), Interface: h.Interface, Weight: h.Weight,
		})
	}
	return out
}
