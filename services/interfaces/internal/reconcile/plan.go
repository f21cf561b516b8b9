// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/found"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
)

// goal is what one link shall be like.
type goal struct {
	// settings: up, mtu, alias and knobs are part of the goal.
	settings bool
	up       bool
	mtu      int
	alias    string
	knobs    kernel.Knobs

	addresses []goalAddress
	neighbors []goalNeighbor
	// tolerates reports whether an address that the goal does not name may stay.
	tolerates func(kernel.Address) bool
	// accepts reports whether an address with a prefix that the goal names is good as it is.
	accepts func(kernel.Address) bool
	// connected: the connected routes of the addresses are part of the goal.
	connected bool
	path      string
}

type goalAddress struct {
	kernel.Address
	path string
}

type goalNeighbor struct {
	kernel.Neighbor
	path string
}

// configured is the goal for an interface with configuration on a link that was found like r.
func configured(i intent.Interface, r found.Record) goal {
	g := goal{settings: true, connected: true, up: i.Enabled, mtu: i.MTU, alias: i.Description, path: i.Path()}
	g.tolerates = func(a kernel.Address) bool { return !a.Ours() && (a.Automatic() || r.Has(a.Prefix)) }
	g.accepts = kernel.Address.Sound
	if g.mtu == 0 {
		g.mtu = r.MTU
	}
	if g.alias == "" {
		g.alias = r.Alias
	}
	for k := range g.knobs {
		g.knobs[k] = kernel.On
	}
	for _, a := range i.Addresses() {
		g.addresses = append(g.addresses, goalAddress{kernel.Address{Prefix: a.Prefix, Protocol: kernel.Protocol}, i.AddressPath(a)})
	}
	for _, n := range i.Neighbors() {
		g.neighbors = append(g.neighbors, goalNeighbor{kernel.Neighbor{Address: n.Address, Hardware: n.Hardware, Protocol: kernel.Protocol}, i.NeighborPath(n)})
	}
	return g
}

// released is the goal for an interface whose configuration is gone: as it was found. Without a record of
// this very link, only what is ours goes.
func released(name string, r found.Record, known bool) goal {
	others := func(a kernel.Address) bool { return !a.Ours() }
	g := goal{path: intent.Path(name), tolerates: others, accepts: others}
	if !known {
		return g
	}
	g.settings, g.up, g.mtu, g.alias, g.knobs = true, r.Up, r.MTU, r.Alias, r.Knobs
	for _, a := range r.KernelAddresses() {
		g.addresses = append(g.addresses, goalAddress{a, g.path})
	}
	if r.Up {
		for _, n := range r.KernelNeighbors() {
			g.neighbors = append(g.neighbors, goalNeighbor{n, g.path})
		}
	}
	return g
}

// plan lists the steps from what is to the goal.
func plan(g goal, s kernel.State) []step {
	steps := planSettings(g, s.Link)
	steps = append(steps, planAddresses(g, s)...)
	steps = append(steps, planConnected(g, s)...)
	return append(steps, planNeighbors(g, s)...)
}

func planSettings(g goal, l kernel.Link) []step {
	var steps []step
	if !g.settings {
		return nil
	}
	add := func(subject, text, path string, run func(Kernel, kernel.Link) error) {
		steps = append(steps, step{phase: settings, subject: subject, text: text, path: g.path + path, run: run})
	}
	if l.MTU != g.mtu {
		add("mtu", fmt.Sprintf("set MTU %d, was %d", g.mtu, l.MTU), "/config/mtu", func(k Kernel, l kernel.Link) error { return k.SetMTU(l.Index, g.mtu) })
	}
	if l.Alias != g.alias {
		add("alias", fmt.Sprintf("set alias %q", g.alias), "/config/description", func(k Kernel, l kernel.Link) error { return k.SetAlias(l.Index, g.alias) })
	}
	for i, want := range g.knobs {
		knob := kernel.Knob(i)
		// A knob that the kernel lacks now, as it does for IPv6 on a link with a small MTU, is not missed.
		if want != kernel.Absent && l.Knobs[i] != kernel.Absent && l.Knobs[i] != want {
			add("forwarding", "set "+knob.String(), "", func(k Kernel, l kernel.Link) error { return k.SetKnob(l.Name, knob, want) })
		}
	}
	if l.Up != g.up {
		add("admin-status", fmt.Sprintf("set up=%t", g.up), "/config/enabled", func(k Kernel, l kernel.Link) error { return k.SetUp(l.Index, g.up) })
	}
	return steps
}

func planAddresses(g goal, s kernel.State) []step {
	var steps []step
	sound := map[netip.Prefix]bool{}
	for _, a := range s.Addresses {
		if wanted, ok := g.address(a.Prefix.Addr()); ok {
			sound[a.Prefix] = wanted.Prefix == a.Prefix && g.accepts(a)
			if sound[a.Prefix] {
				continue
			}
		} else if g.tolerates(a) {
			continue
		}
		prefix := a.Prefix
		steps = append(steps, step{phase: remove, subject: "address", text: "remove address " + prefix.String(), path: g.path,
			run: func(k Kernel, l kernel.Link) error { return k.DeleteAddress(l.Index, prefix) }})
	}
	for _, a := range g.addresses {
		if sound[a.Prefix] {
			continue
		}
		steps = append(steps, step{phase: add, subject: "address", text: "add address " + a.Prefix.String(), path: a.path, address: a.Prefix.Addr(),
			run: func(k Kernel, l kernel.Link) error { return k.AddAddress(l.Index, a.Address) }})
	}
	return steps
}

// planConnected adds the connected routes that somebody removed: the kernel makes them only when it gets the
// address or its link comes up.
func planConnected(g goal, s kernel.State) []step {
	var steps []step
	if !g.connected || !s.Link.Up {
		return nil
	}
	there := map[netip.Prefix]bool{}
	for _, p := range s.Connected {
		there[p] = true
	}
	for _, a := range s.Addresses {
		wanted, named := g.address(a.Prefix.Addr())
		ours := named && wanted.Prefix == a.Prefix && g.accepts(a)
		subnet := a.Prefix.Masked()
		if there[subnet] || subnet.IsSingleIP() || !ours && !a.LinkLocal() || !a.Usable() {
			continue
		}
		there[subnet] = true
		path := g.path
		if ours {
			path = wanted.path
		}
		address := a.Prefix
		steps = append(steps, step{phase: connect, subject: "route", text: "add connected route " + subnet.String(), path: path,
			run: func(k Kernel, l kernel.Link) error { return k.AddConnected(l.Index, address) }})
	}
	return steps
}

func (g goal) address(ip netip.Addr) (goalAddress, bool) {
	i := slices.IndexFunc(g.addresses, func(a goalAddress) bool { return a.Prefix.Addr() == ip })
	if i < 0 {
		return goalAddress{}, false
	}
	return g.addresses[i], true
}

func planNeighbors(g goal, s kernel.State) []step {
	var steps []step
	for _, n := range s.Neighbors {
		wanted := slices.ContainsFunc(g.neighbors, func(w goalNeighbor) bool { return w.Address == n.Address })
		if n.Ours() && !wanted {
			ip := n.Address
			steps = append(steps, step{phase: remove, subject: "neighbor", text: "remove neighbor " + ip.String(), path: g.path,
				run: func(k Kernel, l kernel.Link) error { return k.DeleteNeighbor(l.Index, ip) }})
		}
	}
	for _, w := range g.neighbors {
		is, ok := s.Neighbor(w.Address)
		if ok && is.Permanent() && bytes.Equal(is.Hardware, w.Hardware) && (!is.Ours() || w.Ours()) {
			continue
		}
		steps = append(steps, step{phase: attach, subject: "neighbor", text: "set neighbor " + w.Address.String() + " at " + w.Hardware.String(), path: w.path,
			run: func(k Kernel, l kernel.Link) error { return k.AddNeighbor(l.Index, w.Neighbor) }})
	}
	return steps
}
