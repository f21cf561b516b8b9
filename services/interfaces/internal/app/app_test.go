// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	interfacesv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	telemetryv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/telemetry/v1"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/app"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/sandbox"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
)

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m)) }

// dataplane is a provider that takes ports, or refuses them.
type dataplane struct {
	dataplanev1.UnimplementedDataplaneServer
	mu     sync.Mutex
	ports  map[string]*dataplanev1.Port
	token  uint64
	refuse error
}

func (d *dataplane) SetPorts(_ context.Context, r *dataplanev1.SetPortsRequest) (*dataplanev1.SetPortsResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.refuse != nil:
		return nil, d.refuse
	case r.GetFencingToken() < d.token:
		return nil, status.Error(codes.FailedPrecondition, "stale token")
	}
	d.token = r.GetFencingToken()
	d.ports = map[string]*dataplanev1.Port{}
	for _, p := range r.GetPorts() {
		d.ports[p.GetName()] = p
	}
	return &dataplanev1.SetPortsResponse{}, nil
}

func (d *dataplane) setRefuse(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuse = err
}

func (d *dataplane) port(name string) *dataplanev1.Port {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ports[name]
}

func manifest(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("../../component.yaml")
	sandbox.Must(t, err)
	return b
}

func device(t *testing.T, d *dataplane) *kittest.Device {
	t.Helper()
	device := kittest.New(t, manifest(t), app.New, provide(d))
	provision(t, device, `{"management":["mgmt0"],"ports":["ge0","ge1","ge7"]}`)
	return device
}

// provision writes the list of ports, as `ashlar init` does; "" takes it away.
func provision(t *testing.T, d *kittest.Device, list string) {
	t.Helper()
	if list == "" {
		sandbox.Must(t, os.Remove(d.Layout.Init()))
		return
	}
	sandbox.Must(t, os.MkdirAll(d.Layout.StateDir(), 0o755))
	sandbox.Must(t, os.WriteFile(d.Layout.Init(), []byte(list), 0o644))
}

func provide(d *dataplane) kittest.Option {
	return kittest.Provide("dataplane", "ashlar.dataplane.v1", func(s grpc.ServiceRegistrar) { dataplanev1.RegisterDataplaneServer(s, d) })
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

const pathOf = "/interfaces/interface[name=%s]"

func object(name, v4, v6 string) map[string]string {
	return map[string]string{fmt.Sprintf(pathOf, name): fmt.Sprintf(`{"openconfig-interfaces:name":%q,
		"config":{"name":%q,"type":"iana-if-type:ethernetCsmacd","description":"to A","mtu":1500,"enabled":true},
		"subinterfaces":{"subinterface":[{"index":0,"config":{"index":0},
		"openconfig-if-ip:ipv4":{"addresses":{"address":[{"ip":%q,"config":{"ip":%q,"prefix-length":24}}]}},
		"openconfig-if-ip:ipv6":{"addresses":{"address":[{"ip":%q,"config":{"ip":%q,"prefix-length":64}}]}}}]}}`, name, name, v4, v4, v6, v6)}
}

func has(t *testing.T, link, prefix string) bool {
	t.Helper()
	list, err := netlink.AddrList(sandbox.Link(t, link), netlink.FAMILY_ALL)
	sandbox.Must(t, err)
	return slices.ContainsFunc(list, func(a netlink.Addr) bool { return a.IPNet.String() == prefix })
}

// refusal asserts the code and path of an owner's refusal.
func refusal(t *testing.T, err error, code codes.Code, path string) {
	t.Helper()
	var r *kittest.Refused
	if !errors.As(err, &r) {
		t.Fatalf("not refused: %v", err)
	}
	if codes.Code(r.GetCode()) != code || gpath.String(r.GetPath()) != path || r.GetReason() == "" {
		t.Errorf("refused with %v, want %v at %s", r, code, path)
	}
}

func TestCommitIsInEffectWhenItReturns(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	plane := &dataplane{}
	d := device(t, plane)
	d.Run()
	d.WaitReady()
	sandbox.Must(t, d.Config.Set(deadline(t), object("ge0", "192.0.2.1", "2001:db8:a::1")))
	if !has(t, "ge0", "192.0.2.1/24") || !has(t, "ge0", "2001:db8:a::1/64") {
		t.Error("the addresses are not there")
	}
	if p := plane.port("ge0"); p == nil || !p.GetEnabled() || p.GetMtu() != 1500 {
		t.Errorf("the dataplane has port %v", p)
	}
	sandbox.Must(t, d.Health())
	sandbox.Must(t, d.Config.Set(deadline(t), map[string]string{fmt.Sprintf(pathOf, "ge0"): ""}))
	if has(t, "ge0", "192.0.2.1/24") || plane.port("ge0") != nil {
		t.Error("the interface is not released")
	}
}

func TestDataplaneDecidesToo(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.AddAddress(t, "ge0", "10.20.30.1/24")
	plane := &dataplane{}
	d := device(t, plane)
	d.Run()
	d.WaitReady()
	plane.setRefuse(status.Error(codes.ResourceExhausted, "64 ports at the most"))
	refusal(t, d.Config.Set(deadline(t), object("ge0", "192.0.2.1", "2001:db8:a::1")), codes.Unavailable, fmt.Sprintf(pathOf, "ge0"))
	if has(t, "ge0", "192.0.2.1/24") || !has(t, "ge0", "10.20.30.1/24") || sandbox.Link(t, "ge0").Attrs().Alias != "" {
		t.Error("the kernel is not as it was found")
	}
	plane.setRefuse(nil)
	d.WaitReady()
	sandbox.Must(t, d.Config.Set(deadline(t), object("ge0", "192.0.2.1", "2001:db8:a::1")))
}

func TestNotReadyWithoutDataplane(t *testing.T) {
	plane := &dataplane{refuse: status.Error(codes.Internal, "broken")}
	d := device(t, plane)
	d.Run()
	_, err := d.Config.Restored(deadline(t))
	sandbox.Must(t, err)
	kittest.Eventually(t, func() error {
		if err := d.Health(); err == nil || !slices.Contains([]string{"ports: the dataplane has not taken the ports: rpc error: code = Internal desc = broken"}, err.Error()) {
			return fmt.Errorf("health is %v", err)
		}
		return nil
	})
	plane.setRefuse(nil)
	d.WaitReady()
}

// watcher follows the contract's stream.
type watcher struct {
	stream grpc.ServerStreamingClient[interfacesv1.WatchResponse]
	known  map[string]*interfacesv1.Interface
	synced bool
}

func watch(t *testing.T, d *kittest.Device) *watcher {
	t.Helper()
	stream, err := interfacesv1.NewInterfacesClient(d.Dial()).Watch(deadline(t), &interfacesv1.WatchRequest{}, grpc.WaitForReady(true))
	sandbox.Must(t, err)
	return &watcher{stream: stream, known: map[string]*interfacesv1.Interface{}}
}

// until reads until the condition holds.
func (w *watcher) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for !ok() {
		m, err := w.stream.Recv()
		if err != nil {
			t.Fatalf("never %s: %v", what, err)
		}
		switch {
		case m.GetInterface() != nil:
			w.known[m.GetInterface().GetName()] = m.GetInterface()
		case m.GetRemoved() != "":
			delete(w.known, m.GetRemoved())
		case m.GetSynced() != nil:
			w.synced = true
		}
	}
}

func carries(i *interfacesv1.Interface, prefix string) bool {
	p := netip.MustParsePrefix(prefix)
	return slices.ContainsFunc(i.GetAddresses(), func(a *interfacesv1.Address) bool {
		return slices.Equal(a.GetAddress(), p.Addr().AsSlice()) && int(a.GetPrefixLength()) == p.Bits()
	})
}

func TestWatch(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	d := device(t, &dataplane{})
	d.Config.Preset(object("ge0", "192.0.2.1", "2001:db8:a::1"))
	d.Config.Preset(object("ge7", "198.51.100.1", "2001:db8:b1::1"))
	d.Run()
	w := watch(t, d)
	w.until(t, "synced", func() bool { return w.synced })
	ge0, ge7 := w.known["ge0"], w.known["ge7"]
	if !carries(ge0, "192.0.2.1/24") || !carries(ge0, "2001:db8:a::1/64") || ge0.GetIndex() == 0 || len(ge0.GetHardwareAddress()) != 6 || ge0.GetMtu() != 1500 {
		t.Errorf("ge0 is %v", ge0)
	}
	if ge7 == nil || ge7.GetIndex() != 0 || ge7.GetUp() || len(ge7.GetAddresses()) != 0 {
		t.Errorf("ge7, which does not exist, is %v", ge7)
	}
	w.until(t, "up", func() bool { return w.known["ge0"].GetUp() })
	far := sandbox.Link(t, "far0")
	sandbox.Must(t, netlink.LinkSetDown(far))
	w.until(t, "down", func() bool { return !w.known["ge0"].GetUp() })
	sandbox.Must(t, netlink.LinkSetUp(far))
	w.until(t, "up again", func() bool { return w.known["ge0"].GetUp() })
	t.Run("a link appears", func(t *testing.T) {
		sandbox.Veth(t, "ge7", "far7")
		w.until(t, "ge7 carries its address", func() bool { return carries(w.known["ge7"], "198.51.100.1/24") })
	})
	w.until(t, "ge7 is gone", func() bool { return w.known["ge7"].GetIndex() == 0 })
	sandbox.Must(t, d.Config.Set(deadline(t), map[string]string{fmt.Sprintf(pathOf, "ge7"): ""}))
	w.until(t, "ge7 is removed", func() bool { return w.known["ge7"] == nil })
}

// state follows the component's telemetry.
type state struct {
	stream grpc.ServerStreamingClient[telemetryv1.SubscribeResponse]
	leaves map[string]string
}

func subscribe(t *testing.T, d *kittest.Device) *state {
	t.Helper()
	stream, err := telemetryv1.NewTelemetryClient(d.Dial()).Subscribe(deadline(t), &telemetryv1.SubscribeRequest{}, grpc.WaitForReady(true))
	sandbox.Must(t, err)
	return &state{stream, map[string]string{}}
}

// until reads until the leaf has the value; "" means that it is gone.
func (s *state) until(t *testing.T, path, value string) {
	t.Helper()
	for s.leaves[path] != value {
		m, err := s.stream.Recv()
		if err != nil {
			t.Fatalf("%s is %q, want %q: %v", path, s.leaves[path], value, err)
		}
		for _, p := range m.GetNotification().GetDelete() {
			delete(s.leaves, gpath.String(p))
		}
		for _, u := range m.GetNotification().GetUpdate() {
			v := u.GetVal()
			text := v.GetStringVal()
			if text == "" {
				text = fmt.Sprint(v.GetUintVal(), v.GetBoolVal())
			}
			s.leaves[gpath.String(u.GetPath())] = text
		}
	}
}

func TestTelemetry(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	d := device(t, &dataplane{})
	text := `{"name":"ge0","config":{"name":"ge0","description":"to A","mtu":1400},"subinterfaces":{"subinterface":[{"index":0,
		"openconfig-if-ip:ipv4":{"addresses":{"address":[{"ip":"192.0.2.1","config":{"ip":"192.0.2.1","prefix-length":24}}]},
			"neighbors":{"neighbor":[{"ip":"192.0.2.9","config":{"ip":"192.0.2.9","link-layer-address":"02:00:00:00:00:09"}}]}},
		"openconfig-if-ip:ipv6":{"addresses":{"address":[{"ip":"2001:DB8:a::1","config":{"ip":"2001:DB8:a::1","prefix-length":64}}]}}}]}}`
	d.Config.Preset(map[string]string{"/interfaces/interface[name=ge0]": text, "/interfaces/interface[name=ge7]": `{"name":"ge7","config":{"name":"ge7","enabled":false}}`})
	d.Run()
	s := subscribe(t, d)
	const ge0, sub = "/interfaces/interface[name=ge0]", "/interfaces/interface[name=ge0]/subinterfaces/subinterface[index=0]"
	for path, value := range map[string]string{
		ge0 + "/state/name":         "ge0",
		ge0 + "/state/type":         "iana-if-type:ethernetCsmacd",
		ge0 + "/state/mtu":          "1400 false",
		ge0 + "/state/description":  "to A",
		ge0 + "/state/enabled":      "0 true",
		ge0 + "/state/ifindex":      fmt.Sprint(sandbox.Link(t, "ge0").Attrs().Index, " ", false),
		ge0 + "/state/admin-status": "UP",
		ge0 + "/state/oper-status":  "UP",
		sub + "/state/oper-status":  "UP",
		sub + "/state/name":         "ge0",
		sub + "/ipv4/state/enabled": "0 true",
		sub + "/ipv4/addresses/address[ip=192.0.2.1]/state/prefix-length":                "24 false",
		sub + "/ipv4/addresses/address[ip=192.0.2.1]/state/origin":                       "STATIC",
		sub + "/ipv6/addresses/address[ip=2001:DB8:a::1]/state/ip":                       "2001:DB8:a::1",
		sub + "/ipv6/addresses/address[ip=2001:DB8:a::1]/state/origin":                   "STATIC",
		sub + "/ipv4/neighbors/neighbor[ip=192.0.2.9]/state/link-layer-address":          "02:00:00:00:00:09",
		sub + "/ipv4/neighbors/neighbor[ip=192.0.2.9]/state/origin":                      "STATIC",
		"/interfaces/interface[name=ge7]/state/oper-status":                              "NOT_PRESENT",
		"/interfaces/interface[name=ge7]/state/admin-status":                             "DOWN",
		"/interfaces/interface[name=ge7]/subinterfaces/subinterface[index=0]/state/name": "ge7",
	} {
		s.until(t, path, value)
	}
	if s.leaves[ge0+"/state/last-change"] == "" {
		t.Error("no last-change")
	}
	learned := &netlink.Neigh{LinkIndex: sandbox.Link(t, "ge0").Attrs().Index, IP: []byte{192, 0, 2, 10},
		HardwareAddr: []byte{2, 0, 0, 0, 0, 10}, State: netlink.NUD_REACHABLE}
	sandbox.Must(t, netlink.NeighSet(learned))
	s.until(t, sub+"/ipv4/neighbors/neighbor[ip=192.0.2.10]/state/origin", "DYNAMIC")
	sandbox.Must(t, netlink.NeighDel(learned))
	s.until(t, sub+"/ipv4/neighbors/neighbor[ip=192.0.2.10]/state/origin", "")
	sandbox.Must(t, netlink.LinkSetDown(sandbox.Link(t, "far0")))
	s.until(t, ge0+"/state/oper-status", "LOWER_LAYER_DOWN")
	sandbox.Must(t, d.Config.Set(deadline(t), map[string]string{ge0: ""}))
	s.until(t, ge0+"/state/oper-status", "")
	s.until(t, ge0+"/state/name", "")
}

func TestRefusedAtPrepare(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.Veth(t, "mgmt0", "far1")
	sandbox.AddAddress(t, "mgmt0", "198.18.0.1/24")
	d := device(t, &dataplane{})
	d.Run()
	d.WaitReady()
	for _, test := range []struct {
		desc, name, v4, v6 string
		code               codes.Code
		path               string
	}{
		{"management", "mgmt0", "192.0.2.1", "2001:db8::1", codes.InvalidArgument, "/interfaces/interface[name=mgmt0]"},
		{"no port", "eth9", "192.0.2.1", "2001:db8::1", codes.InvalidArgument, "/interfaces/interface[name=eth9]"},
		{"management's subnet", "ge0", "198.18.0.77", "2001:db8::1", codes.InvalidArgument,
			"/interfaces/interface[name=ge0]/subinterfaces/subinterface[index=0]/ipv4/addresses/address[ip=198.18.0.77]"},
	} {
		t.Run(test.desc, func(t *testing.T) {
			refusal(t, d.Config.Set(deadline(t), object(test.name, test.v4, test.v6)), test.code, test.path)
			sandbox.Must(t, d.Health())
		})
	}
	sandbox.Must(t, d.Config.Set(deadline(t), object("ge0", "192.0.2.1", "2001:db8:a::1")))
	refusal(t, d.Config.Set(deadline(t), object("ge1", "192.0.2.1", "2001:db8:b::1")), codes.InvalidArgument,
		"/interfaces/interface[name=ge1]/subinterfaces/subinterface[index=0]/ipv4/addresses/address[ip=192.0.2.1]")
	if !has(t, "mgmt0", "198.18.0.1/24") {
		t.Error("the management interface was touched")
	}
}

func TestWithoutListOfPorts(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.Veth(t, "mgmt0", "far1")
	plane := &dataplane{}
	d := device(t, plane)
	d.Run()
	d.WaitReady()
	sandbox.Must(t, d.Config.Set(deadline(t), object("ge0", "192.0.2.1", "2001:db8:a::1")))
	provision(t, d, "")
	refusal(t, d.Config.Set(deadline(t), object("mgmt0", "198.51.100.1", "2001:db8:b::1")), codes.FailedPrecondition, fmt.Sprintf(pathOf, "mgmt0"))
	// After a restart, what carries traffic goes on; nothing else is configured, and the operator sees why.
	d.Stop()
	d.Config.Preset(object("mgmt0", "198.51.100.1", "2001:db8:b::1"))
	d.Run()
	kittest.Eventually(t, func() error {
		if err := d.Health(); err == nil || !strings.Contains(err.Error(), "interface mgmt0") || !strings.Contains(err.Error(), "ashlar init") {
			return fmt.Errorf("health is %v", err)
		}
		return nil
	})
	if !has(t, "ge0", "192.0.2.1/24") || plane.port("ge0") == nil || has(t, "mgmt0", "198.51.100.1/24") || plane.port("mgmt0") != nil {
		t.Error("the interfaces are not as they were")
	}
	sandbox.Must(t, d.Config.Set(deadline(t), map[string]string{fmt.Sprintf(pathOf, "mgmt0"): ""}))
	d.WaitReady()
}

func TestRestoreRefusesOnlyWhatMayNotBe(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	d := device(t, &dataplane{})
	d.Config.Preset(object("ge0", "192.0.2.1", "2001:db8:a::1"))
	d.Config.Preset(map[string]string{"/interfaces/interface[name=lo]": `{"name":"lo"}`, "/interfaces/interface[name=ge1]": `{"name":"ge1","frobnicate":1}`})
	d.Run()
	failures, err := d.Config.Restored(deadline(t))
	sandbox.Must(t, err)
	if len(failures) != 2 || !has(t, "ge0", "192.0.2.1/24") {
		t.Errorf("failures %v", failures)
	}
	// A later change elsewhere goes through although two objects are refused.
	change := object("ge0", "192.0.2.2", "2001:db8:a::2")
	sandbox.Must(t, d.Config.Set(deadline(t), change))
	if has(t, "ge0", "192.0.2.1/24") || !has(t, "ge0", "192.0.2.2/24") {
		t.Error("the change is not in effect")
	}
}

func TestRestartLeavesTheKernelAlone(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	plane := &dataplane{}
	d := device(t, plane)
	d.Config.Preset(object("ge0", "192.0.2.1", "2001:db8:a::1"))
	d.Run()
	d.WaitReady()
	updates, done := make(chan netlink.AddrUpdate, 64), make(chan struct{})
	defer close(done)
	sandbox.Must(t, netlink.AddrSubscribe(updates, done))
	for range 3 {
		d.Stop()
		d.Run()
		d.WaitReady()
	}
	// The mark that ends the list of what the kernel told.
	sandbox.AddAddress(t, "far0", "198.18.9.1/32")
	for u := range updates {
		if u.LinkAddress.String() == "198.18.9.1/32" {
			break
		}
		if !u.LinkAddress.IP.IsLinkLocalUnicast() {
			t.Errorf("the restart changed %s (added: %t)", u.LinkAddress.String(), u.NewAddr)
		}
	}
}
