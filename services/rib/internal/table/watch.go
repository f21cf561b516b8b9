// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"net/netip"
	"slices"
)

// watch makes a set be resolved again whenever a route that covers one of the addresses or one of the
// interfaces changes, and no more when others do.
func (t *Table) watch(s *set, addresses []netip.Addr, interfaces []string) {
	slices.SortFunc(addresses, netip.Addr.Compare)
	addresses = slices.Compact(addresses)
	slices.Sort(interfaces)
	interfaces = slices.Compact(interfaces)
	if !slices.Equal(addresses, s.addresses) {
		t.unwatchAddresses(s)
		s.addresses = addresses
		for _, a := range addresses {
			t.watchedAddresses.Modify(host(a), func(w watchers, ok bool) (watchers, bool) {
				if !ok {
					w = watchers{}
				}
				w[s] = struct{}{}
				return w, false
			})
		}
	}
	if !slices.Equal(interfaces, s.interfaces) {
		t.unwatchInterfaces(s)
		s.interfaces = interfaces
		for _, name := range interfaces {
			if t.watchedInterfaces[name] == nil {
				t.watchedInterfaces[name] = watchers{}
			}
			t.watchedInterfaces[name][s] = struct{}{}
		}
	}
}

func (t *Table) unwatchAddresses(s *set) {
	for _, a := range s.addresses {
		t.watchedAddresses.Modify(host(a), func(w watchers, _ bool) (watchers, bool) {
			delete(w, s)
			return w, len(w) == 0
		})
	}
	s.addresses = nil
}

func (t *Table) unwatchInterfaces(s *set) {
	for _, name := range s.interfaces {
		delete(t.watchedInterfaces[name], s)
		if len(t.watchedInterfaces[name]) == 0 {
			delete(t.watchedInterfaces, name)
		}
	}
	s.interfaces = nil
}

// retire forgets a set that no path uses.
func (t *Table) retire(s *set) {
	if t.sets[s.key] != s {
		return
	}
	t.unwatchAddresses(s)
	t.unwatchInterfaces(s)
	delete(t.sets, s.key)
	t.outbox.Retire(s.group)
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
