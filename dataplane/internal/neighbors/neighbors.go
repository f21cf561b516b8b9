// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package neighbors follows the kernel's links and neighbours by netlink and keeps those that the fast path
// uses alive.
//
// The kernel does not see what XDP forwards, so an entry that carries traffic would grow stale and a dead
// neighbour would go unnoticed. A Follower therefore asks the kernel to probe: next hops whenever they are
// not known to be reachable, other neighbours when they are stale and packets went to them. It writes
// nothing else.
package neighbors

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
)

// Engine takes what the kernel says.
type Engine interface {
	Follow(links []engine.Link, neighbors []engine.Neighbor) error
	LinkChanged(engine.Link) error
	LinkGone(index uint32) error
	NeighborChanged(engine.Neighbor) error
	NeighborGone(link uint32, address netip.Addr) error
	// Probes lists the neighbours that should be probed now.
	Probes() []engine.Probe
	// Unresolved is signalled when there is one at once.
	Unresolved() <-chan struct{}
}

const (
	// interval is how often the neighbours in use are looked at.
	interval = time.Second
	// soonest is the time between two looks when next hops are unresolved.
	soonest = 20 * time.Millisecond
)

// receiveBuffer holds some ten thousand events while the follower is busy.
const receiveBuffer = 4 << 20

// Follower follows one namespace: that of the thread that runs it.
type Follower struct {
	engine Engine
	log    *slog.Logger
}

// New makes a follower.
func New(e Engine, log *slog.Logger) *Follower { return &Follower{e, log} }

// Run follows until ctx ends. synced is called after each full view. It returns an error when the
// subscription breaks, for example because events came faster than they were read: run it again.
func (f *Follower) Run(ctx context.Context, synced func()) error {
	done := make(chan struct{})
	links := make(chan netlink.LinkUpdate, 64)
	neighbors := make(chan netlink.NeighUpdate, 64)
	defer func() {
		close(done)
		// The library's readers may be waiting to hand over an event.
		go drain(links)
		go drain(neighbors)
	}()
	broken := make(chan error, 2)
	report := func(err error) {
		select {
		case broken <- err:
		default:
		}
	}
	// Subscribe first: what changes during the dump comes again as an event.
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: report}); err != nil {
		return fmt.Errorf("subscribe to links: %w", err)
	}
	err := netlink.NeighSubscribeWithOptions(neighbors, done, netlink.NeighSubscribeOptions{
		ErrorCallback: report, ReceiveBufferSize: receiveBuffer,
	})
	if err != nil {
		return fmt.Errorf("subscribe to neighbours: %w", err)
	}
	if err := f.dump(); err != nil {
		return err
	}
	synced()
	tick := time.NewTimer(0)
	defer tick.Stop()
	var probed time.Time
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err = <-broken:
		case u, ok := <-links:
			if !ok {
				return fmt.Errorf("the subscription to links ended")
			}
			err = f.link(u)
		case u, ok := <-neighbors:
			if !ok {
				return fmt.Errorf("the subscription to neighbours ended")
			}
			err = f.neighbor(u)
		case <-f.engine.Unresolved():
			tick.Reset(time.Until(probed.Add(soonest)))
		case probed = <-tick.C:
			f.probe()
			tick.Reset(interval)
		}
		if err != nil {
			return err
		}
	}
}

func drain[T any](c <-chan T) {
	for range c {
	}
}

// dump reads everything there is.
func (f *Follower) dump() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	var l []engine.Link
	for _, x := range links {
		l = append(l, linkOf(x))
	}
	var n []engine.Neighbor
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		neighbors, err := netlink.NeighList(0, family)
		if err != nil {
			return fmt.Errorf("list neighbours: %w", err)
		}
		for _, x := range neighbors {
			if e, ok := neighborOf(x); ok {
				n = append(n, e)
			}
		}
	}
	return f.engine.Follow(l, n)
}

func (f *Follower) link(u netlink.LinkUpdate) error {
	// Bridge ports and the like send link messages of other families.
	if u.IfInfomsg.Family != unix.AF_UNSPEC {
		return nil
	}
	if u.Header.Type == unix.RTM_DELLINK {
		return f.engine.LinkGone(uint32(u.Attrs().Index))
	}
	return f.engine.LinkChanged(linkOf(u.Link))
}

func linkOf(l netlink.Link) engine.Link {
	a := l.Attrs()
	// A veth whose peer is down keeps IFF_UP and loses IFF_LOWER_UP.
	up := a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0
	return engine.Link{Index: uint32(a.Index), Name: a.Name, Address: a.HardwareAddr, MTU: uint32(a.MTU), Up: up}
}

func (f *Follower) neighbor(u netlink.NeighUpdate) error {
	n, ok := neighborOf(u.Neigh)
	if !ok {
		return nil
	}
	if u.Type == unix.RTM_DELNEIGH {
		return f.engine.NeighborGone(n.Link, n.Address)
	}
	return f.engine.NeighborChanged(n)
}

// usableStates are those in which the kernel itself sends to the entry's address.
const usableStates = netlink.NUD_PERMANENT | netlink.NUD_REACHABLE | netlink.NUD_PROBE | netlink.NUD_STALE | netlink.NUD_DELAY

func neighborOf(n netlink.Neigh) (engine.Neighbor, bool) {
	address, ok := netip.AddrFromSlice(n.IP)
	if !ok || n.Family != unix.AF_INET && n.Family != unix.AF_INET6 || n.Flags&netlink.NTF_PROXY != 0 || n.State&netlink.NUD_NOARP != 0 {
		return engine.Neighbor{}, false
	}
	return engine.Neighbor{
		Link: uint32(n.LinkIndex), Address: address.Unmap(), MAC: n.HardwareAddr,
		State: stateName(n.State), Usable: n.State&usableStates != 0,
	}, true
}

func stateName(state int) string {
	switch {
	case state&netlink.NUD_PERMANENT != 0:
		return "permanent"
	case state&netlink.NUD_REACHABLE != 0:
		return "reachable"
	case state&netlink.NUD_STALE != 0:
		return "stale"
	case state&netlink.NUD_DELAY != 0:
		return "delay"
	case state&netlink.NUD_PROBE != 0:
		return "probe"
	case state&netlink.NUD_FAILED != 0:
		return "failed"
	case state&netlink.NUD_INCOMPLETE != 0:
		return "incomplete"
	}
	return "none"
}

// probe asks the kernel to use what the fast path uses.
func (f *Follower) probe() {
	for _, p := range f.engine.Probes() {
		if err := use(p); err != nil {
			f.log.Debug("neighbour is not probed", "link", p.Link, "address", p.Address, "err", err)
		}
	}
}

// use behaves like a packet sent to the neighbour: a stale entry is verified, a missing one resolved.
func use(p engine.Probe) error {
	family := unix.AF_INET
	if p.Address.Is6() {
		family = unix.AF_INET6
	}
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: int(p.Link), Family: family, IP: p.Address.AsSlice(), Flags: netlink.NTF_USE, State: netlink.NUD_NONE,
	})
}
