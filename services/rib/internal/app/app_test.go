// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	interfacesv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib/fibtest"
	"github.com/ashlar-nos/ashlar/services/rib/internal/program/dataplanetest"
)

const staticRoot = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]/static-routes/static[prefix=%s]"

func at(prefix string) string { return fmt.Sprintf(staticRoot, prefix) }

// route is the configuration of a static route: next hops as "address", "address%interface" or "DROP".
func route(prefix string, hops ...string) string {
	var list []string
	for i, h := range hops {
		address, link, _ := strings.Cut(h, "%")
		ref := ""
		if link != "" {
			ref = fmt.Sprintf(`,"interface-ref":{"config":{"interface":%q}}`, link)
		}
		list = append(list, fmt.Sprintf(`{"index":"%d","config":{"index":"%d","next-hop":%q}%s}`, i, i, address, ref))
	}
	return fmt.Sprintf(`{"prefix":%q,"config":{"prefix":%q},"next-hops":{"next-hop":[%s]}}`, prefix, prefix, strings.Join(list, ","))
}

// house is a device around ribd.
type house struct {
	*kittest.Device
	dataplane  *dataplanetest.Dataplane
	interfaces *interfaces
	ctx        context.Context
}

func newHouse(t testing.TB) *house {
	t.Helper()
	manifest, err := os.ReadFile("../../component.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	h := &house{dataplane: dataplanetest.New(), interfaces: newInterfaces(), ctx: ctx}
	h.interfaces.set("ge0", true, "192.0.2.1/24", "2001:db8:a::1/64", "fe80::1/64")
	h.interfaces.set("ge1", true, "198.51.100.1/24", "2001:db8:b1::1/64")
	h.interfaces.set("ge2", true, "203.0.113.1/24", "2001:db8:b2::1/64")
	h.Device = kittest.New(t, manifest, New,
		kittest.Provide("dataplane", "ashlar.dataplane.v1", func(s grpc.ServiceRegistrar) { dataplanev1.RegisterDataplaneServer(s, h.dataplane) }),
		kittest.Provide("interfaces", "ashlar.interfaces.v1", func(s grpc.ServiceRegistrar) { interfacesv1.RegisterInterfacesServer(s, h.interfaces) }),
	)
	return h
}

func (h *house) start() *house {
	h.Run()
	h.WaitReady()
	return h
}

// links waits until packets for a prefix leave by these interfaces.
func (h *house) links(t *testing.T, prefix string, want ...string) {
	t.Helper()
	kittest.Eventually(t, func() error {
		c, ok := h.dataplane.Content(prefix)
		got := []string{}
		for _, hop := range c.Hops {
			got = append(got, hop.Interface)
		}
		if !ok || strings.Join(got, " ") != strings.Join(want, " ") {
			return fmt.Errorf("%s: %v by %v, want %v", prefix, ok, c, want)
		}
		return nil
	})
}

func (h *house) gone(t *testing.T, prefix string) {
	t.Helper()
	kittest.Eventually(t, func() error {
		if c, ok := h.dataplane.Content(prefix); ok {
			return fmt.Errorf("%s is there: %v", prefix, c)
		}
		return nil
	})
}

func (h *house) set(t *testing.T, changes map[string]string) {
	t.Helper()
	if err := h.Config.Set(h.ctx, changes); err != nil {
		t.Fatal(err)
	}
}

func refusedWith(t *testing.T, err error, code codes.Code, words ...string) {
	t.Helper()
	var r *kittest.Refused
	if !errors.As(err, &r) || codes.Code(r.GetCode()) != code {
		t.Fatalf("error %v, want a refusal with %s", err, code)
	}
	for _, w := range words {
		if !strings.Contains(r.Error(), w) {
			t.Fatalf("error %q does not say %q", r, w)
		}
	}
}

// interfaces plays the interface manager.
type interfaces struct {
	interfacesv1.UnimplementedInterfacesServer
	mu      sync.Mutex
	state   map[string]*interfacesv1.Interface
	changed chan struct{}
}

func newInterfaces() *interfaces {
	return &interfaces{state: map[string]*interfacesv1.Interface{}, changed: make(chan struct{})}
}

func (i *interfaces) set(name string, up bool, addresses ...string) {
	w := &interfacesv1.Interface{Name: name, Up: up, Enabled: true}
	for _, a := range addresses {
		p := netip.MustParsePrefix(a)
		w.Addresses = append(w.Addresses, &interfacesv1.Address{Address: p.Addr().AsSlice(), PrefixLength: uint32(p.Bits())})
	}
	i.change(func() { i.state[name] = w })
}

func (i *interfaces) remove(name string) { i.change(func() { delete(i.state, name) }) }

func (i *interfaces) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
	close(i.changed)
	i.changed = make(chan struct{})
}

// Watch implements the contract.
func (i *interfaces) Watch(_ *interfacesv1.WatchRequest, st grpc.ServerStreamingServer[interfacesv1.WatchResponse]) error {
	sent := map[string]*interfacesv1.Interface{}
	for first := true; ; first = false {
		i.mu.Lock()
		changed := i.changed
		var out []*interfacesv1.WatchResponse
		for name, w := range i.state {
			if sent[name] != w {
				sent[name] = w
				out = append(out, &interfacesv1.WatchResponse{Message: &interfacesv1.WatchResponse_Interface{Interface: w}})
			}
		}
		for name := range sent {
			if i.state[name] == nil {
				delete(sent, name)
				out = append(out, &interfacesv1.WatchResponse{Message: &interfacesv1.WatchResponse_Removed{Removed: name}})
			}
		}
		i.mu.Unlock()
		if first {
			out = append(out, &interfacesv1.WatchResponse{Message: &interfacesv1.WatchResponse_Synced{Synced: &interfacesv1.Synced{}}})
		}
		for _, m := range out {
			if err := st.Send(m); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-st.Context().Done():
			return nil
		}
	}
}

func TestSetProgramsTheDataplane(t *testing.T) {
	h := newHouse(t).start()
	h.set(t, map[string]string{
		at("10.99.0.0/16"):     route("10.99.0.0/16", "198.51.100.10", "203.0.113.10"),
		at("2001:db8:99::/48"): route("2001:db8:99::/48", "2001:db8:b1::10", "2001:db8:b2::10"),
		at("10.98.0.0/16"):     route("10.98.0.0/16", "198.51.100.10%ge1"),
		at("192.168.0.0/16"):   route("192.168.0.0/16", "DROP"),
	})
	// Acknowledged means in the tables: nothing is awaited from here on.
	for prefix, want := range map[string]fib.Content{
		"10.99.0.0/16": {Action: fib.Forward, Hops: []fib.Hop{
			{Interface: "ge1", Address: netip.MustParseAddr("198.51.100.10"), Weight: 1},
			{Interface: "ge2", Address: netip.MustParseAddr("203.0.113.10"), Weight: 1},
		}},
		"2001:db8:99::/48": {Action: fib.Forward, Hops: []fib.Hop{
			{Interface: "ge1", Address: netip.MustParseAddr("2001:db8:b1::10"), Weight: 1},
			{Interface: "ge2", Address: netip.MustParseAddr("2001:db8:b2::10"), Weight: 1},
		}},
		"10.98.0.0/16": {Action: fib.Forward, Hops: []fib.Hop{
			{Interface: "ge1", Address: netip.MustParseAddr("198.51.100.10"), Weight: 1},
		}},
		"192.168.0.0/16":   {Action: fib.Drop},
		"192.0.2.0/24":     {Action: fib.Connected, Hops: []fib.Hop{{Interface: "ge0", Weight: 1}}},
		"192.0.2.1/32":     {Action: fib.Local},
		"100::7269:62/128": {Action: fib.Drop},
	} {
		if got, ok := h.dataplane.Content(prefix); !ok || !got.Equal(want) {
			t.Errorf("%s: %v %+v, want %+v", prefix, ok, got, want)
		}
	}
	h.set(t, map[string]string{at("10.98.0.0/16"): route("10.98.0.0/16", "203.0.113.10%ge2"), at("192.168.0.0/16"): ""})
	if got, _ := h.dataplane.Content("10.98.0.0/16"); got.Hops[0].Interface != "ge2" {
		t.Errorf("the route did not move: %+v", got)
	}
	if _, ok := h.dataplane.Content("192.168.0.0/16"); ok {
		t.Error("the deleted route is still there")
	}
}

func TestRestartKeepsForwardingAndSweeps(t *testing.T) {
	h := newHouse(t).start()
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "198.51.100.10")})
	first := h.dataplane.Generation()
	h.Stop()
	if _, ok := h.dataplane.Content("10.99.0.0/16"); !ok {
		t.Fatal("stopping took a route away")
	}
	stale := netip.MustParsePrefix("10.77.0.0/16")
	h.dataplane.Engine(func(e *fibtest.Engine) { e.Routes[stale] = fibtest.Route{Group: &fibtest.Group{}} })
	h.start()
	kittest.Eventually(t, func() error {
		if h.dataplane.Generation() <= first {
			return errors.New("not synchronised")
		}
		return nil
	})
	h.links(t, "10.99.0.0/16", "ge1")
	h.gone(t, "10.77.0.0/16")
}
