// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package kernelroutes gives the kernel what it needs for the packets that the program hands to it: routes to
// forward or answer by.
//
// A Mirror owns the routes of one protocol number and touches no others. It is level-triggered: whatever it
// finds of its own at start is compared with what is wanted, and what is left over goes. A route of its own that
// somebody else removes is put back; one of somebody else that comes before it is told.
package kernelroutes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
)

const (
	// Protocol marks our routes in the kernel's table (rtm_protocol).
	Protocol = 97
	// Limit of mirrored routes. Packets of others that are handed to the kernel meet its default route.
	Limit = 10_000
	// metric is high: a route that somebody else put there for the machine itself wins.
	metric = 1 << 16

	pace   = 100 * time.Millisecond // between two comparisons
	resync = time.Minute            // between two looks at what the kernel really has
)

// Source is where routes and ports come from.
type Source interface {
	KernelRoutes(limit int) (routes []engine.KernelRoute, all int, links uint64)
	Ports() []engine.PortStatus
	Watch() <-chan struct{}
}

// Mirror keeps the kernel's table like the source's.
type Mirror struct {
	source    Source
	log       *slog.Logger
	installed map[netip.Prefix]engine.KernelRoute
	links     uint64
	sysctls   sysctls

	listener *listener
	missing  map[netip.Prefix]bool // ours, removed by somebody else, not put back yet
	foreign  map[netip.Prefix]bool // routes of others that come before ours, if there is one
	told     map[netip.Prefix]bool // those of them that the log has

	mirrored, wanted, refused atomic.Int64
	repaired, shadowed        atomic.Int64
}

// New makes a mirror.
func New(s Source, log *slog.Logger) *Mirror {
	return &Mirror{source: s, log: log, sysctls: newSysctls(log), missing: map[netip.Prefix]bool{}}
}

// Usage returns the routes in the kernel, the routes there are, and those the kernel refused.
func (m *Mirror) Usage() (mirrored, wanted, refused int) {
	return int(m.mirrored.Load()), int(m.wanted.Load()), int(m.refused.Load())
}

// Run mirrors until ctx ends. The routes stay in the kernel: packets go on without the daemon.
func (m *Mirror) Run(ctx context.Context) error {
	changed := m.source.Watch()
	done := make(chan struct{})
	defer close(done)
	var err error
	// Subscribe first: what changes while the table is read comes again as an event.
	if m.listener, err = listen(done); err != nil {
		return err
	}
	m.installed = nil
	look := time.NewTicker(resync)
	defer look.Stop()
	for {
		if err := m.reconcile(); err != nil {
			return err
		}
		rest := time.NewTimer(pace)
		select {
		case <-ctx.Done():
			rest.Stop()
			return nil
		case <-rest.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-m.listener.broken:
			return err
		case <-m.listener.signal:
		case <-changed:
		case <-look.C:
			m.installed = nil
		}
	}
}

func (m *Mirror) reconcile() error {
	for _, p := range m.source.Ports() {
		if p.Link.Index != 0 {
			m.sysctls.enable(p.Link.Index, p.Name)
		}
	}
	routes, all, links := m.source.KernelRoutes(Limit)
	events, whole := m.listener.drain()
	if m.installed == nil || links != m.links || !whole {
		if err := m.read(); err != nil {
			return err
		}
		m.links = links
	} else {
		m.apply(events)
	}
	want := map[netip.Prefix]bool{}
	refused := 0
	for _, r := range routes {
		want[r.Prefix] = true
		if have, ok := m.installed[r.Prefix]; ok && reflect.DeepEqual(have, r) {
			continue
		}
		if err := netlink.RouteReplace(message(r)); err != nil {
			m.log.Debug("the kernel refused a route", "prefix", r.Prefix, "err", err)
			refused++
			continue
		}
		m.installed[r.Prefix] = r
		m.repair(r.Prefix)
	}
	for p, r := range m.installed {
		if !want[p] {
			m.remove(r)
		}
	}
	m.mirrored.Store(int64(len(m.installed)))
	m.wanted.Store(int64(all))
	m.refused.Store(int64(refused))
	m.judgeForeign()
	for p := range m.missing {
		if !want[p] {
			delete(m.missing, p)
		}
	}
	return nil
}

// repair counts a route that was put back.
func (m *Mirror) repair(p netip.Prefix) {
	if m.missing[p] {
		delete(m.missing, p)
		m.repaired.Add(1)
		m.log.Warn("a route that somebody removed from the kernel is back", "prefix", p)
	}
}

func (m *Mirror) remove(r engine.KernelRoute) {
	err := netlink.RouteDel(message(r))
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENOENT) {
		m.log.Warn("a route is not removed from the kernel", "prefix", r.Prefix, "err", err)
	}
	delete(m.installed, r.Prefix)
}

// message is a route in netlink's form.
func message(r engine.KernelRoute) *netlink.Route {
	a := r.Prefix.Addr()
	n := &netlink.Route{
		Dst:      &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(r.Prefix.Bits(), a.BitLen())},
		Protocol: Protocol, Priority: metric, Table: unix.RT_TABLE_MAIN, Family: family(a),
	}
	switch {
	case len(r.Hops) == 0:
		n.Type = unix.RTN_BLACKHOLE
	case len(r.Hops) == 1:
		n.LinkIndex, n.Flags = int(r.Hops[0].Link), int(netlink.FLAG_ONLINK)
		n.Gw, n.Via = gateway(a, r.Hops[0].Address)
	default:
		for _, h := range r.Hops {
			p := &netlink.NexthopInfo{LinkIndex: int(h.Link), Hops: int(h.Weight) - 1, Flags: int(netlink.FLAG_ONLINK)}
			p.Gw, p.Via = gateway(a, h.Address)
			n.MultiPath = append(n.MultiPath, p)
		}
	}
	return n
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// gateway is by its own attribute when its family is not the route's (RFC 8950).
func gateway(route, hop netip.Addr) (net.IP, netlink.Destination) {
	if route.Is4() == hop.Is4() {
		return hop.AsSlice(), nil
	}
	return nil, &netlink.Via{AddrFamily: family(hop), Addr: hop.AsSlice()}
}

// read finds what the kernel has of ours, and what it has that comes before.
func (m *Mirror) read() error {
	m.installed, m.foreign = map[netip.Prefix]engine.KernelRoute{}, map[netip.Prefix]bool{}
	for _, f := range []int{unix.AF_INET, unix.AF_INET6} {
		filter := &netlink.Route{Table: unix.RT_TABLE_MAIN}
		err := netlink.RouteListFilteredIter(f, filter, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			k, ok := parse(r, f)
			switch {
			case !ok:
			case r.Protocol == Protocol:
				m.installed[k.Prefix] = k
			case r.Priority < metric:
				m.addForeign(k.Prefix)
			}
			return true
		})
		if err != nil {
			return fmt.Errorf("list the kernel's routes: %w", err)
		}
	}
	return nil
}

func parse(r netlink.Route, family int) (engine.KernelRoute, bool) {
	k := engine.KernelRoute{Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	if family == unix.AF_INET6 {
		k.Prefix = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if r.Dst != nil {
		a, ok := netip.AddrFromSlice(r.Dst.IP)
		bits, _ := r.Dst.Mask.Size()
		if family == unix.AF_INET {
			a = a.Unmap()
		}
		if !ok {
			return k, false
		}
		k.Prefix = netip.PrefixFrom(a, bits)
	}
	switch {
	case r.Type == unix.RTN_BLACKHOLE:
	case len(r.MultiPath) > 0:
		for _, p := range r.MultiPath {
			k.Hops = append(k.Hops, hopOf(p.LinkIndex, p.Gw, p.Via, p.Hops+1))
		}
	default:
		k.Hops = append(k.Hops, hopOf(r.LinkIndex, r.Gw, r.Via, 1))
	}
	return k, true
}

func hopOf(link int, gw net.IP, via netlink.Destination, weight int) engine.KernelHop {
	if v, ok := via.(*netlink.Via); ok {
		gw = v.Addr
	}
	a, _ := netip.AddrFromSlice(gw)
	return engine.KernelHop{Link: uint32(link), Address: a.Unmap(), Weight: uint32(weight)}
}
