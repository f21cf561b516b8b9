// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package links

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/rib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

func routesOf(r *rib.RIB) []string {
	var out []string
	r.View(func(t *table.Table) {
		for _, ref := range t.All(0) {
			for _, s := range t.Paths(ref) {
				text := fmt.Sprintf("%s %s", s.Prefix, s.Source)
				if s.Kind == fib.Connected {
					text += " " + s.NextHops[0].Interface
				}
				if !s.Best {
					text += " spare"
				}
				out = append(out, text)
			}
		}
	})
	return out
}

func iface(name string, up bool, addresses ...string) Interface {
	i := Interface{Name: name, Up: up}
	for _, a := range addresses {
		i.Addresses = append(i.Addresses, netip.MustParsePrefix(a))
	}
	return i
}

func TestRoutesOfInterfaces(t *testing.T) {
	tests := []struct {
		desc  string
		steps []func(*Links)
		want  []string
	}{
		{"both families, link-local left out", []func(*Links){
			func(l *Links) { l.Set(iface("ge0", true, "192.0.2.1/24", "2001:db8:a::1/64", "fe80::1/64")) },
		}, []string{"192.0.2.0/24 connected ge0", "192.0.2.1/32 local", "2001:db8:a::/64 connected ge0", "2001:db8:a::1/128 local"}},
		{"a link that is down keeps its own address", []func(*Links){
			func(l *Links) { l.Set(iface("ge0", true, "192.0.2.1/24")) },
			func(l *Links) { l.Set(iface("ge0", false, "192.0.2.1/24")) },
		}, []string{"192.0.2.1/32 local"}},
		{"a host address is local only", []func(*Links){
			func(l *Links) { l.Set(iface("ge0", true, "192.0.2.1/32")) },
		}, []string{"192.0.2.1/32 local"}},
		{"a point-to-point link", []func(*Links){
			func(l *Links) { l.Set(iface("ge0", true, "192.0.2.0/31")) },
		}, []string{"192.0.2.0/31 connected ge0", "192.0.2.0/32 local"}},
		{"one prefix on two links", []func(*Links){
			func(l *Links) { l.Set(iface("ge1", true, "192.0.2.2/24")) },
			func(l *Links) { l.Set(iface("ge0", true, "192.0.2.1/24")) },
		}, []string{"192.0.2.0/24 connected ge0", "192.0.2.0/24 connected ge1 spare", "192.0.2.1/32 local", "192.0.2.2/32 local"}},
		{"the other link takes over", []func(*Links){
			func(l *Links) { l.Set(iface("ge1", true, "192.0.2.2/24")) },
			func(l *Links) { l.Set(iface("ge0", true, "192.0.2.1/24")) },
			func(l *Links) { l.Set(iface("ge0", false, "192.0.2.1/24")) },
		}, []string{"192.0.2.0/24 connected ge1", "192.0.2.1/32 local", "192.0.2.2/32 local"}},
		{"an address moves", []func(*Links){
			func(l *Links) { l.Set(iface("ge0", true, "192.0.2.1/24")) },
			func(l *Links) { l.Set(iface("ge0", true, "198.51.100.1/24")) },
			func(l *Links) { l.Set(iface("ge1", true, "192.0.2.1/24")) },
		}, []string{"192.0.2.0/24 connected ge1", "192.0.2.1/32 local", "198.51.100.0/24 connected ge0", "198.51.100.1/32 local"}},
		{"removed", []func(*Links){
			func(l *Links) { l.Set(iface("ge0", true, "192.0.2.1/24")) },
			func(l *Links) { l.Remove("ge0") },
		}, nil},
		{"not named after a reconnect", []func(*Links){
			func(l *Links) { l.Set(iface("ge0", true, "192.0.2.1/24")) },
			func(l *Links) { l.Set(iface("ge1", true, "198.51.100.1/24")) },
			func(l *Links) { l.Sync(map[string]bool{"ge1": true}) },
		}, []string{"198.51.100.0/24 connected ge1", "198.51.100.1/32 local"}},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			r := rib.New(table.DefaultLimits(), fib.Config{BatchSize: 16, Window: 4})
			l := New(r)
			for _, step := range tt.steps {
				step(l)
			}
			if got := routesOf(r); !slices.Equal(got, tt.want) {
				t.Fatalf("routes\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

func TestOwns(t *testing.T) {
	l := New(rib.New(table.DefaultLimits(), fib.Config{BatchSize: 16, Window: 4}))
	l.Set(iface("ge0", true, "192.0.2.1/24"))
	if link, own := l.Owns(netip.MustParseAddr("192.0.2.1")); !own || link != "ge0" {
		t.Fatal(link, own)
	}
	if _, own := l.Owns(netip.MustParseAddr("192.0.2.2")); own {
		t.Fatal("a neighbour's address counts as own")
	}
}
