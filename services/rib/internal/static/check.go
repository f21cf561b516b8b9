// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package static

import (
	"net/netip"

	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

// Check says what of a route could never work. own tells the device's own addresses.
func (r Route) Check(own func(netip.Addr) (link string, own bool)) error {
	if err := r.checkPrefix(); err != nil {
		return err
	}
	switch {
	case len(r.Hops) == 0:
		return faultf("/next-hops", "a static route needs a next hop: an address, an interface or DROP")
	case len(r.Hops) > table.MaxNextHops:
		return faultf("/next-hops", "%d next hops: the limit is %d", len(r.Hops), table.MaxNextHops)
	}
	seen := map[Hop]string{}
	for _, h := range r.Hops {
		if err := h.check(r.Prefix, own); err != nil {
			return err
		}
		same := Hop{Address: h.Address, Interface: h.Interface, Drop: h.Drop}
		if other, ok := seen[same]; ok {
			return faultf(hopPath(h.Index)+"/config/next-hop", "the same next hop as index %s", other)
		}
		seen[same] = h.Index
	}
	return r.checkTogether()
}

func (r Route) checkPrefix() error {
	a := r.Prefix.Addr()
	switch {
	case r.Prefix != r.Prefix.Masked():
		return faultf("/config/prefix", "%s has host bits set: did you mean %s?", r.Prefix, r.Prefix.Masked())
	case a.Is4In6():
		return faultf("/config/prefix", "%s is an IPv4-mapped IPv6 prefix", r.Prefix)
	case a.IsMulticast():
		return faultf("/config/prefix", "%s is multicast: static routes are unicast", r.Prefix)
	case a.IsLoopback():
		return faultf("/config/prefix", "%s is loopback and never leaves the device", r.Prefix)
	case a.Is6() && a.IsLinkLocalUnicast():
		return faultf("/config/prefix", "%s is link-local: it is on every link and cannot be routed", r.Prefix)
	}
	return nil
}

func (h Hop) check(prefix netip.Prefix, own func(netip.Addr) (string, bool)) error {
	at := hopPath(h.Index) + "/config/next-hop"
	switch a := h.Address; {
	case h.Drop && h.Interface != "":
		return faultf(hopPath(h.Index)+"/interface-ref", "a next hop of DROP has no interface")
	case h.Drop:
		return nil
	case !a.IsValid() && h.Interface == "":
		return faultf(at, "missing: give an address, an interface or DROP")
	case !a.IsValid():
		return nil
	case a.Is4() != prefix.Addr().Is4() || a.Is4In6():
		return faultf(at, "%s is of another address family than %s", a, prefix)
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return faultf(at, "%s is not the address of a neighbour", a)
	case a.Is6() && a.IsLinkLocalUnicast() && h.Interface == "":
		return faultf(hopPath(h.Index)+"/interface-ref", "the link-local next hop %s needs an interface", a)
	default:
		if link, mine := own(a); mine {
			return faultf(at, "%s is this device's own address, on %s", a, link)
		}
	}
	return nil
}

// checkTogether judges next hops that would be used together.
func (r Route) checkTogether() error {
	first := map[rank]Hop{}
	kinds := map[[2]uint32]Hop{}
	for _, h := range r.Hops {
		at := hopPath(h.Index) + "/config/next-hop"
		place := [2]uint32{uint32(h.Distance), h.Metric}
		if other, ok := kinds[place]; ok && other.kind() != h.kind() {
			return faultf(at, "cannot be used together with index %s, which %s: give one another preference", other.Index, other.does())
		}
		kinds[place] = h
		if other, ok := first[h.rank()]; ok && !h.Address.IsValid() {
			return faultf(at, "cannot be used together with index %s, which %s: give one another preference", other.Index, other.does())
		}
		first[h.rank()] = h
	}
	return nil
}

// does says in words what a next hop does.
func (h Hop) does() string {
	switch {
	case h.Drop:
		return "drops"
	case !h.Address.IsValid():
		return "puts the prefix on the link " + h.Interface
	}
	return "forwards to " + h.Address.String()
}
