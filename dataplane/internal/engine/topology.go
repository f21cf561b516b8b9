// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"net"
	"net/netip"

	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
)

// Link is a network device of the kernel.
type Link struct {
	Index   uint32
	Name    string
	Address net.HardwareAddr
	MTU     uint32 // bytes of layer 3
	Up      bool   // administratively, and it has a carrier
}

// Neighbor is an entry of the kernel's neighbour table.
type Neighbor struct {
	Link    uint32
	Address netip.Addr
	MAC     net.HardwareAddr
	State   string // as `ip neigh` says it
	Usable  bool   // the kernel would send to MAC
}

type neighborKey struct {
	link    uint32
	address netip.Addr
}

// Follow replaces everything known of links and neighbours.
func (e *Engine) Follow(links []Link, neighbors []Neighbor) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.links = map[uint32]Link{}
	for _, l := range links {
		e.links[l.Index] = l
	}
	for k := range e.neighbors {
		e.removeNeighbor(k)
	}
	for _, n := range neighbors {
		e.addNeighbor(n)
	}
	e.following = true
	e.reconcilePorts()
	for _, h := range e.hops.byKey {
		e.resolve(h)
	}
	for slot, g := range e.groups.slots {
		if g != nil {
			e.groups.repoint(uint16(slot))
		}
	}
	return e.reconsider()
}

// reconsider decides about every neighbour's own route again.
func (e *Engine) reconsider() error {
	poke(e.reclaim)
	e.signal()
	return e.hostsOnly(func(t *transaction) { t.all = true })
}

// hostsOnly runs a transaction that is about neighbours' own routes alone. Where there is no room for them
// the kernel goes on forwarding.
func (e *Engine) hostsOnly(f func(*transaction)) error {
	err := e.transact(func(t *transaction) error {
		f(t)
		return nil
	})
	var full *fib.LimitError
	if errors.As(err, &full) {
		e.options.Log.Warn("neighbours are left to the kernel", "err", err)
		return nil
	}
	return err
}

// LinkChanged takes a new or changed link.
func (e *Engine) LinkChanged(l Link) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.links[l.Index]
	if old.Name == l.Name && old.MTU == l.MTU && old.Up == l.Up && old.Address.String() == l.Address.String() {
		return nil
	}
	e.links[l.Index] = l
	return e.linksMoved()
}

// LinkGone takes the end of a link.
func (e *Engine) LinkGone(index uint32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.links, index)
	for k := range e.neighbors {
		if k.link == index {
			e.removeNeighbor(k)
		}
	}
	return e.linksMoved()
}

// linksMoved makes ports and next hops follow. Buckets move first: packets wait for nothing else.
func (e *Engine) linksMoved() error {
	e.moved++
	e.linkPorts()
	for _, h := range e.hops.byKey {
		e.refresh(h)
	}
	e.reconcilePorts()
	for _, h := range e.hops.byKey {
		e.refresh(h)
	}
	return e.reconsider()
}

// NeighborChanged takes a new or changed neighbour.
func (e *Engine) NeighborChanged(n Neighbor) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	old, known := e.neighbors[neighborKey{n.Link, n.Address}]
	e.addNeighbor(n)
	if known && old.Usable == n.Usable && old.MAC.String() == n.MAC.String() {
		return nil
	}
	return e.neighborMoved(n.Link, n.Address)
}

// NeighborGone takes the end of a neighbour.
func (e *Engine) NeighborGone(link uint32, address netip.Addr) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.neighbors[neighborKey{link, address}]; !known {
		return nil
	}
	e.removeNeighbor(neighborKey{link, address})
	return e.neighborMoved(link, address)
}

func (e *Engine) neighborMoved(link uint32, address netip.Addr) error {
	if h := e.hops.byKey[hopKey{e.links[link].Name, address}]; h != nil {
		e.refresh(h)
	}
	e.signal()
	return e.hostsOnly(func(t *transaction) {
		t.touched = append(t.touched, netip.PrefixFrom(address, address.BitLen()))
	})
}

func (e *Engine) addNeighbor(n Neighbor) {
	k := neighborKey{n.Link, n.Address}
	if _, known := e.neighbors[k]; !known {
		p := netip.PrefixFrom(n.Address, n.Address.BitLen())
		c, _ := e.addresses.Get(p)
		e.addresses.Insert(p, c+1)
	}
	e.neighbors[k] = n
}

func (e *Engine) removeNeighbor(k neighborKey) {
	delete(e.neighbors, k)
	p := netip.PrefixFrom(k.address, k.address.BitLen())
	if c, _ := e.addresses.Get(p); c > 1 {
		e.addresses.Insert(p, c-1)
	} else {
		e.addresses.Delete(p)
	}
}

// usable is the neighbour a hop would send to, if its port, link and entry allow.
func (e *Engine) usable(k hopKey) (*port, net.HardwareAddr) {
	p := e.ports[k.link]
	if p == nil || p.link.Index == 0 || !p.link.Up || len(p.link.Address) != 6 {
		return nil, nil
	}
	n, ok := e.neighbors[neighborKey{p.link.Index, k.address}]
	if !ok || !n.Usable || len(n.MAC) != 6 {
		return nil, nil
	}
	return p, n.MAC
}

// resolve points a next hop at what is known of its neighbour; true if buckets must follow.
func (e *Engine) resolve(h *nextHop) bool {
	if !e.following {
		return false
	}
	p, mac := e.usable(h.hopKey)
	if p == nil {
		poke(e.lonely)
		return e.hops.point(h, nil)
	}
	a := adjacencyFor(p, mac, h.counter)
	return e.hops.point(h, &a)
}

// refresh resolves a next hop and moves the buckets of its groups.
func (e *Engine) refresh(h *nextHop) {
	if !e.resolve(h) {
		return
	}
	for slot := range h.groups {
		e.groups.repoint(slot)
	}
	poke(e.reclaim)
}

// decideHosts gives a route of their own to the usable neighbours in connected prefixes, and takes it from
// the others. The kernel resolves what has none.
func (t *transaction) decideHosts() error {
	e := t.e
	if !e.following {
		return nil
	}
	if !t.all {
		for _, p := range t.touched {
			for host := range e.addresses.Subnets(p) {
				if err := t.decideHost(host.Addr()); err != nil {
					return err
				}
			}
			if p.IsSingleIP() {
				if err := t.decideHost(p.Addr()); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for host := range e.addresses.All() {
		if err := t.decideHost(host.Addr()); err != nil {
			return err
		}
	}
	for address := range e.hosts {
		if err := t.decideHost(address); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) decideHost(address netip.Addr) error {
	e := t.e
	link := t.hostLink(address)
	have := e.hosts[address]
	if have != nil && have.Hops[0].Interface == link {
		return nil
	}
	v6 := address.Is6()
	key := address.AsSlice()
	if have != nil {
		t.unset(v6, key, len(key)*8, fib.Derived)
		e.forget(have)
		t.place(have.slot, nil)
	}
	if link == "" || len(e.hosts) >= e.options.Limits.Hosts {
		return nil
	}
	slot, ok := e.groups.free.take()
	if !ok {
		return nil
	}
	g := e.newGroup(Group{Action: Forward, Hops: []Hop{{Interface: link, Address: address}}}, uint16(slot), true, nil)
	t.place(g.slot, g)
	e.remember(g)
	t.set(v6, key, len(key)*8, fib.Derived, g, false)
	return nil
}

// hostLink is the link on which an address is a usable neighbour in a connected prefix; empty if it is none.
func (t *transaction) hostLink(address netip.Addr) string {
	e := t.e
	if address.IsLinkLocalUnicast() && address.Is6() || address.IsMulticast() {
		return ""
	}
	_, slot := e.table(address.Is6()).Longest(address.AsSlice())
	g := e.groups.slots[slot]
	if slot == 0 || g == nil || g.Action != Connected {
		return ""
	}
	if p, _ := e.usable(hopKey{g.Hops[0].Interface, address}); p == nil {
		return ""
	}
	return g.Hops[0].Interface
}
