// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package links makes routes of interfaces: each prefix on a link that is up is connected, each of the
// device's own addresses is local.
//
// Own addresses stay local while a link is down, as they do in the kernel: the device answers on its
// addresses from whichever side packets come. Link-local IPv6 (fe80::/10) never becomes a route; the same
// prefix is on every link and the dataplane hands it to the kernel. A Links is safe for concurrent use.
package links

import (
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/rib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

// The names of the sources.
const (
	Connected = "connected"
	Local     = "local"
)

// Interface is a port and what is on it.
type Interface struct {
	Name string
	Up   bool
	// Addresses carry the device's own address and the length of the prefix on the link.
	Addresses []netip.Prefix
}

// Links turns interfaces into routes.
type Links struct {
	rib *rib.RIB

	mu         sync.Mutex
	interfaces map[string]Interface
	synced     chan struct{}
	once       sync.Once
}

// New returns links without an interface.
func New(r *rib.RIB) *Links {
	return &Links{rib: r, interfaces: map[string]Interface{}, synced: make(chan struct{})}
}

// Synced is closed once every interface was told for the first time.
func (l *Links) Synced() <-chan struct{} { return l.synced }

// Owns reports whether an address is the device's own, and on which interface.
func (l *Links) Owns(a netip.Addr) (link string, own bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range l.interfaces {
		for _, p := range i.Addresses {
			if p.Addr() == a {
				return i.Name, true
			}
		}
	}
	return "", false
}

// Set takes the whole state of an interface.
func (l *Links) Set(i Interface) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.interfaces[i.Name]
	l.interfaces[i.Name] = i
	l.rib.Update(func(t *table.Table) {
		t.SetInterface(i.Name, i.Up)
		l.derive(t, old, i)
	})
}

// Remove takes an interface away.
func (l *Links) Remove(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(name)
}

func (l *Links) remove(name string) {
	old, ok := l.interfaces[name]
	if !ok {
		return
	}
	delete(l.interfaces, name)
	l.rib.Update(func(t *table.Table) {
		t.RemoveInterface(name)
		l.derive(t, old)
	})
}

// Sync says that the interfaces named are all there are.
func (l *Links) Sync(all map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(l.interfaces)) {
		if !all[name] {
			l.remove(name)
		}
	}
	l.once.Do(func() { close(l.synced) })
}

// derive makes anew the routes of every prefix and address that one of the states of an interface has.
func (l *Links) derive(t *table.Table, states ...Interface) {
	for _, state := range states {
		for _, p := range state.Addresses {
			if !routable(p) {
				continue
			}
			l.deriveLocal(t, p.Addr())
			if p.Bits() < p.Addr().BitLen() {
				l.deriveConnected(t, p.Masked())
			}
		}
	}
}

func (l *Links) deriveLocal(t *table.Table, a netip.Addr) {
	prefix, source := netip.PrefixFrom(a, a.BitLen()), t.OwnSource(Local)
	for _, i := range l.interfaces {
		if slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			_ = t.Set(prefix, source, 0, table.Path{Kind: fib.Local}) // an own source is never refused
			return
		}
	}
	t.Remove(prefix, source)
}

func (l *Links) deriveConnected(t *table.Table, prefix netip.Prefix) {
	source := t.OwnSource(Connected)
	var paths []table.Path
	for _, name := range slices.Sorted(maps.Keys(l.interfaces)) {
		i := l.interfaces[name]
		if i.Up && slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return p.Masked() == prefix }) {
			// The metric tells links with the same prefix apart; the first by name is used.
			paths = append(paths, table.Path{
				Kind: fib.Connected, Metric: uint32(len(paths)), NextHops: []table.NextHop{{Interface: name}},
			})
		}
	}
	if len(paths) == 0 {
		t.Remove(prefix, source)
		return
	}
	_ = t.Set(prefix, source, 0, paths...) // an own source is never refused
}

func routable(p netip.Prefix) bool {
	a := p.Addr()
	return p.IsValid() && !(a.Is6() && a.IsLinkLocalUnicast()) && !a.IsUnspecified() && !a.IsMulticast()
}
