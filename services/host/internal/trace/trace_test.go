// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ashlar-nos/ashlar/services/host/internal/resolve"
	"github.com/ashlar-nos/ashlar/services/host/internal/sandbox"
)

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m)) }

func run(t *testing.T, destination, source string, maxHops int, wait time.Duration) []Hop {
	t.Helper()
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r := Request{Route: resolve.Route{Destination: netip.MustParseAddr(destination)}, MaxHops: maxHops, Wait: wait}
	if source != "" {
		r.Route.Source = netip.MustParseAddr(source)
	}
	var all []Hop
	sandbox.Must(t, Run(ctx, r, func(h Hop) error { all = append(all, h); return nil }))
	return all
}

// line is two routers in a row and a host behind them.
func line(t *testing.T) (first, second, host *sandbox.Namespace) {
	t.Helper()
	first, second, host = sandbox.Beside(t), sandbox.Beside(t), sandbox.Beside(t)
	sandbox.Connect(t, nil, "ge0", first, "west")
	sandbox.Connect(t, first, "east", second, "west")
	sandbox.Connect(t, second, "east", host, "eth0")
	sandbox.Address(t, "ge0", "10.0.1.1/24")
	sandbox.Address(t, "ge0", "2001:db8:1::1/64")
	for _, a := range []struct {
		n               *sandbox.Namespace
		link, four, six string
	}{
		{first, "west", "10.0.1.2/24", "2001:db8:1::2/64"},
		{first, "east", "10.0.2.1/24", "2001:db8:2::1/64"},
		{second, "west", "10.0.2.2/24", "2001:db8:2::2/64"},
		{second, "east", "10.0.3.1/24", "2001:db8:3::1/64"},
		{host, "eth0", "10.0.3.9/24", "2001:db8:3::9/64"},
	} {
		a.n.Address(a.link, a.four)
		a.n.Address(a.link, a.six)
	}
	for _, n := range []*sandbox.Namespace{first, second, host} {
		n.Sysctl("ipv4/ip_forward", "1")
		n.Sysctl("ipv6/conf/all/forwarding", "1")
		// The tests ask faster than hosts like to be asked.
		n.Sysctl("ipv4/icmp_ratelimit", "0")
		n.Sysctl("ipv6/icmp/ratelimit", "0")
	}
	for _, r := range [][2]string{{"10.0.0.0/8", "10.0.1.2"}, {"2001:db8::/32", "2001:db8:1::2"}} {
		sandbox.Route(t, r[0], r[1])
	}
	first.Route("10.0.3.0/24", "10.0.2.2")
	first.Route("2001:db8:3::/64", "2001:db8:2::2")
	second.Route("10.0.1.0/24", "10.0.2.1")
	second.Route("2001:db8:1::/64", "2001:db8:2::1")
	host.Route("10.0.0.0/8", "10.0.3.1")
	host.Route("2001:db8::/32", "2001:db8:3::1")
	return first, second, host
}

func TestReachesTheHost(t *testing.T) {
	line(t)
	for source, way := range map[string][]string{
		"":              {"10.0.1.2", "10.0.2.2", "10.0.3.9"},
		"10.0.1.1":      {"10.0.1.2", "10.0.2.2", "10.0.3.9"},
		"2001:db8:1::1": {"2001:db8:1::2", "2001:db8:2::2", "2001:db8:3::9"},
	} {
		hops := run(t, way[2], source, 30, 5*time.Second)
		if len(hops) != 3 {
			t.Fatalf("%+v", hops)
		}
		for i, h := range hops {
			if h.Number != i+1 || h.From != way[i] || h.Reached != (i == 2) || h.Error != "" || h.RoundTrip <= 0 {
				t.Errorf("hop %d is %+v", i+1, h)
			}
		}
	}
}

func TestTheWayEnds(t *testing.T) {
	line(t)
	hops := run(t, "10.0.9.9", "", 30, 5*time.Second)
	if n := len(hops); n == 0 || hops[n-1].Reached || !strings.Contains(hops[n-1].Error, "network unreachable from 10.0.1.2") {
		t.Errorf("%+v", hops)
	}
	hops = run(t, "203.0.113.9", "", 30, 5*time.Second)
	if len(hops) != 1 || hops[0].Error != "network is unreachable" {
		t.Errorf("%+v", hops)
	}
}

func TestSilentHopsAreCounted(t *testing.T) {
	_, second, _ := line(t)
	second.Sysctl("ipv4/ip_forward", "0")
	hops := run(t, "10.0.3.9", "", 4, 20*time.Millisecond)
	if len(hops) == 0 || hops[0].From != "10.0.1.2" {
		t.Fatalf("%+v", hops)
	}
	for _, h := range hops[1:] {
		if h.Reached || h.From != "" && h.Error == "" {
			t.Errorf("%+v", h)
		}
	}
}

func TestLoopback(t *testing.T) {
	for _, destination := range []string{"127.0.0.1", "::1"} {
		if hops := run(t, destination, "", 30, 5*time.Second); len(hops) != 1 || !hops[0].Reached {
			t.Errorf("%+v", hops)
		}
	}
}
