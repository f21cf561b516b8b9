// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kernelroutes

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
	"github.com/ashlar-nos/ashlar/lab/netns"
)

// discards is a source whose routes all discard: they need no links.
type discards []netip.Prefix

func (d discards) KernelRoutes(int) (l []engine.KernelRoute, all int, links uint64) {
	for _, p := range d {
		l = append(l, engine.KernelRoute{Prefix: p})
	}
	return l, len(l), 1
}
func (d discards) Ports() []engine.PortStatus { return nil }
func (d discards) Watch() <-chan struct{}     { return nil }

type safeBuffer struct {
	sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.Lock()
	defer b.Unlock()
	return b.Buffer.Write(p)
}

func namespaceOf(t *testing.T) *netns.Namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a network namespace: run it as root")
	}
	n, err := netns.New()
	must(t, err)
	t.Cleanup(func() { n.Close() })
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

// TestRemovedRoutesComeBack: what somebody removes is back long before the table is read again, and what
// somebody puts before ours is told, once.
func TestRemovedRoutesComeBack(t *testing.T) {
	source := discards{netip.MustParsePrefix("10.98.0.0/16"), netip.MustParsePrefix("2001:db8:98::/48")}
	var text safeBuffer
	m := New(source, slog.New(slog.NewTextHandler(&text, nil)))
	n := namespaceOf(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Do(func() error { return m.Run(ctx) }) }()
	h, err := n.Netlink()
	must(t, err)
	defer h.Close()
	ours := func(p netip.Prefix) bool {
		l, err := h.RouteListFiltered(family(p.Addr()), &netlink.Route{Protocol: Protocol}, netlink.RT_FILTER_PROTOCOL)
		must(t, err)
		return len(l) == 1 && l[0].Dst.String() == p.String()
	}
	for i, p := range source {
		await(t, "installed", func() bool { return ours(p) })
		must(t, h.RouteDel(message(engine.KernelRoute{Prefix: p})))
		await(t, "repaired", func() bool { return ours(p) && m.repaired.Load() == int64(i+1) })
		other := message(engine.KernelRoute{Prefix: p})
		other.Protocol, other.Priority = unix.RTPROT_STATIC, 5
		must(t, h.RouteAdd(other))
		await(t, "shadowed", func() bool { return m.shadowed.Load() == 1 })
		must(t, h.RouteDel(other))
		await(t, "alone again", func() bool { return m.shadowed.Load() == 0 })
	}
	cancel()
	must(t, <-ended)
	if s := text.String(); strings.Count(s, "somebody else comes before") != len(source) || strings.Count(s, "is back") != len(source) {
		t.Errorf("the log says\n%s", s)
	}
}

// TestForwardingSwitchesHaveAnotherOwner: where the kernel has switches for each port, they are left alone.
func TestForwardingSwitchesHaveAnotherOwner(t *testing.T) {
	must(t, namespaceOf(t).Do(func() error {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "p0"}, PeerName: "p1"}); err != nil {
			return err
		}
		must(t, write(conf4+"/p0/rp_filter", "1"))
		newSysctls(slog.New(slog.DiscardHandler)).enable(2, "p0")
		for path, want := range map[string]string{
			conf4 + "/p0/forwarding": "0", conf6 + "/p0/forwarding": "0", conf6 + "/p0/force_forwarding": "0",
		} {
			if have, err := read(path); err != nil || have != want {
				t.Errorf("%s is %s, want %s (%v)", path, have, want, err)
			}
		}
		if have, err := read(conf4 + "/p0/rp_filter"); err != nil || have == "1" {
			t.Errorf("the reverse path filter is %s (%v)", have, err)
		}
		return nil
	}))
}
