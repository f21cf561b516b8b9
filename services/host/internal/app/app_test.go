// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	hostv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/host/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	telemetryv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/telemetry/v1"
	"github.com/ashlar-nos/ashlar/services/host/internal/app"
	"github.com/ashlar-nos/ashlar/services/host/internal/hostname"
	"github.com/ashlar-nos/ashlar/services/host/internal/sandbox"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
)

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m)) }

// supervisor tells of components as the test wants.
type supervisor struct {
	supervisorv1.UnimplementedSupervisorServer
	mu         sync.Mutex
	components []*supervisorv1.ComponentStatus
	changes    chan *supervisorv1.ComponentStatus
	drop       chan struct{}
}

func newSupervisor(components ...*supervisorv1.ComponentStatus) *supervisor {
	return &supervisor{components: components, changes: make(chan *supervisorv1.ComponentStatus), drop: make(chan struct{})}
}

func (s *supervisor) snapshot() []*supervisorv1.ComponentStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.components
}

func (s *supervisor) set(components ...*supervisorv1.ComponentStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.components = components
}

func (s *supervisor) List(context.Context, *supervisorv1.ListRequest) (*supervisorv1.ListResponse, error) {
	return &supervisorv1.ListResponse{Components: s.snapshot(), SupervisorVersion: "9.8.7"}, nil
}

func (s *supervisor) Watch(_ *supervisorv1.WatchRequest, stream grpc.ServerStreamingServer[supervisorv1.WatchResponse]) error {
	for _, c := range s.snapshot() {
		if err := stream.Send(&supervisorv1.WatchResponse{Component: c}); err != nil {
			return err
		}
	}
	if err := stream.Send(&supervisorv1.WatchResponse{Synced: true}); err != nil {
		return err
	}
	for {
		select {
		case c := <-s.changes:
			if err := stream.Send(&supervisorv1.WatchResponse{Component: c}); err != nil {
				return err
			}
		case <-s.drop:
			return status.Error(codes.Unavailable, "gone")
		case <-stream.Context().Done():
			return nil
		}
	}
}

func component(name, version string, phase supervisorv1.Phase) *supervisorv1.ComponentStatus {
	return &supervisorv1.ComponentStatus{Name: name, Version: version, Phase: phase, Summary: "does " + name}
}

func device(t *testing.T, options ...kittest.Option) *kittest.Device {
	t.Helper()
	manifest, err := os.ReadFile("../../component.yaml")
	sandbox.Must(t, err)
	return kittest.New(t, manifest, app.New, options...)
}

func provide(s *supervisor) kittest.Option {
	return kittest.Provide("supervisor", "ashlar.supervisor.v1", func(r grpc.ServiceRegistrar) { supervisorv1.RegisterSupervisorServer(r, s) })
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// state follows the component's telemetry.
type state struct {
	stream grpc.ServerStreamingClient[telemetryv1.SubscribeResponse]
	leaves map[string]string
	end    context.CancelFunc
}

func subscribe(t *testing.T, d *kittest.Device) *state {
	t.Helper()
	ctx, cancel := context.WithCancel(deadline(t))
	t.Cleanup(cancel)
	stream, err := telemetryv1.NewTelemetryClient(d.Dial()).Subscribe(ctx, &telemetryv1.SubscribeRequest{}, grpc.WaitForReady(true))
	sandbox.Must(t, err)
	return &state{stream, map[string]string{}, cancel}
}

// until reads until the leaf is as wanted; it is "" when it is gone.
func (s *state) until(t *testing.T, path string, ok func(string) bool) {
	t.Helper()
	for !ok(s.leaves[path]) {
		m, err := s.stream.Recv()
		if err != nil {
			t.Fatalf("%s is %q: %v", path, s.leaves[path], err)
		}
		for _, p := range m.GetNotification().GetDelete() {
			for leaf := range s.leaves {
				if strings.HasPrefix(leaf, gpath.String(p)) {
					delete(s.leaves, leaf)
				}
			}
		}
		for _, u := range m.GetNotification().GetUpdate() {
			text := u.GetVal().GetStringVal()
			if text == "" {
				text = fmt.Sprint(u.GetVal().GetUintVal())
			}
			s.leaves[gpath.String(u.GetPath())] = text
		}
	}
}

func is(want string) func(string) bool { return func(got string) bool { return got == want } }

const config = "/system/config"

func TestHostname(t *testing.T) {
	sandbox.Must(t, unix.Sethostname([]byte("found")))
	d := device(t)
	d.Run()
	d.WaitReady()
	s := subscribe(t, d)
	s.until(t, "/system/state/hostname", is("found"))
	sandbox.Must(t, d.Config.Set(deadline(t), map[string]string{config: `{"openconfig-system:hostname":"r1"}`}))
	if now, _ := hostname.Current(); now != "r1" {
		t.Errorf("the name is %q", now)
	}
	s.until(t, "/system/state/hostname", is("r1"))
	sandbox.Must(t, unix.Sethostname([]byte("theirs")))
	kittest.Eventually(t, func() error {
		if now, _ := hostname.Current(); now != "r1" {
			return fmt.Errorf("the name is %q", now)
		}
		return nil
	})
	s.end()
	d.Stop()
	d.Run()
	d.WaitReady()
	sandbox.Must(t, d.Config.Set(deadline(t), map[string]string{config: ""}))
	if now, _ := hostname.Current(); now != "found" {
		t.Errorf("the name is %q", now)
	}
}

func TestRefusals(t *testing.T) {
	sandbox.Must(t, unix.Sethostname([]byte("found")))
	d := device(t)
	d.Run()
	for text, path := range map[string]string{
		`{"hostname":"-r1"}`:       config + "/hostname",
		`{"hostname":"192.0.2.1"}`: config + "/hostname",
		`{"hostname":7}`:           config + "/hostname",
		`{"login-banner":"x"}`:     config + "/login-banner",
		`[]`:                       config,
	} {
		err := d.Config.Set(deadline(t), map[string]string{config: text})
		var r *kittest.Refused
		if !errors.As(err, &r) || codes.Code(r.GetCode()) != codes.InvalidArgument || gpath.String(r.GetPath()) != path || r.GetReason() == "" {
			t.Errorf("%s: %v", text, err)
		}
	}
	if now, _ := hostname.Current(); now != "found" {
		t.Errorf("the name is %q", now)
	}
}

func TestClock(t *testing.T) {
	d := device(t)
	d.Run()
	s := subscribe(t, d)
	set := func(v string) bool { return v != "" && v != "0" }
	for _, leaf := range []string{"current-datetime", "boot-time", "up-time"} {
		s.until(t, "/system/state/"+leaf, set)
	}
	first := s.leaves["/system/state/current-datetime"]
	if _, err := time.Parse(time.RFC3339, first); err != nil {
		t.Error(err)
	}
	s.until(t, "/system/state/current-datetime", func(v string) bool { return v != first })
}

func TestInventory(t *testing.T) {
	boss := newSupervisor(component("rib", "1.2.3", supervisorv1.Phase_PHASE_READY), component("state", "1.0.0", supervisorv1.Phase_PHASE_STARTING))
	d := device(t, provide(boss))
	d.Run()
	s := subscribe(t, d)
	const rib, stated = "/components/component[name=rib]/state/", "/components/component[name=state]/state/"
	for path, value := range map[string]string{
		rib + "name": "rib", rib + "type": "openconfig-platform-types:SOFTWARE_MODULE", rib + "software-version": "1.2.3",
		rib + "description": "does rib", rib + "oper-status": "openconfig-platform-types:ACTIVE",
		stated + "oper-status": "openconfig-platform-types:INACTIVE",
		"/components/component[name=supervisor]/state/software-version": "9.8.7",
		"/system/state/software-version":                                "9.8.7",
	} {
		s.until(t, path, is(value))
	}
	boss.changes <- component("state", "1.0.0", supervisorv1.Phase_PHASE_READY)
	s.until(t, stated+"oper-status", is("openconfig-platform-types:ACTIVE"))
	// The supervisor comes back with another generation.
	boss.set(component("rib", "1.3.0", supervisorv1.Phase_PHASE_READY))
	boss.drop <- struct{}{}
	s.until(t, rib+"software-version", is("1.3.0"))
	s.until(t, stated+"name", is(""))
}

func TestReadyWithoutSupervisor(t *testing.T) {
	d := device(t)
	d.Run()
	d.WaitReady()
}

func client(t *testing.T, d *kittest.Device) hostv1.HostClient {
	t.Helper()
	return hostv1.NewHostClient(d.Dial())
}

func TestPing(t *testing.T) {
	far := sandbox.Beside(t)
	sandbox.Connect(t, nil, "ge0", far, "eth0")
	sandbox.Address(t, "ge0", "192.0.2.1/24")
	far.Address("eth0", "192.0.2.10/24")
	d := device(t)
	d.Run()
	stream, err := client(t, d).Ping(deadline(t), &hostv1.PingRequest{Destination: "192.0.2.10", Count: 3, Interval: durationpb.New(10 * time.Millisecond)})
	sandbox.Must(t, err)
	replies := 0
	for {
		m, err := stream.Recv()
		sandbox.Must(t, err)
		if sum := m.GetSummary(); sum != nil {
			if sum.GetSent() != 3 || sum.GetReceived() != 3 || replies != 3 || sum.GetAverage().AsDuration() <= 0 {
				t.Errorf("%v after %d replies", sum, replies)
			}
			break
		}
		replies++
		if r := m.GetReply(); r.GetSource() != "192.0.2.10" || r.GetBytes() != 64 || r.GetRoundTrip().AsDuration() <= 0 {
			t.Errorf("%v", r)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestTraceroute(t *testing.T) {
	d := device(t)
	d.Run()
	stream, err := client(t, d).Traceroute(deadline(t), &hostv1.TracerouteRequest{Destination: "127.0.0.1"})
	sandbox.Must(t, err)
	if h, err := stream.Recv(); err != nil || !h.GetReached() || h.GetHop() != 1 || h.GetSource() != "127.0.0.1" {
		t.Errorf("%v, %v", h, err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestBadRequests(t *testing.T) {
	d := device(t)
	d.Run()
	c := client(t, d)
	for _, r := range []*hostv1.PingRequest{
		{}, {Destination: "no such name.invalid"}, {Destination: strings.Repeat("a", 254)}, {Destination: "224.0.0.1"}, {Destination: "0.0.0.0"},
		{Destination: "fe80::1%nolink"}, {Destination: "fe80::1", Source: "fe80::2%nolink"},
		{Destination: "127.0.0.1", Source: "x"}, {Destination: "127.0.0.1", Source: "::1"}, {Destination: "127.0.0.1", Count: 10_001},
		{Destination: "127.0.0.1", Size: 65_508}, {Destination: "127.0.0.1", Interval: durationpb.New(time.Millisecond)},
		{Destination: "127.0.0.1", Wait: durationpb.New(time.Hour)}, {Destination: "127.0.0.1", Wait: &durationpb.Duration{Seconds: 1, Nanos: -1}},
	} {
		stream, err := c.Ping(deadline(t), r)
		sandbox.Must(t, err)
		if m, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v, %v", r, m, err)
		}
	}
	for _, r := range []*hostv1.TracerouteRequest{{}, {Destination: "127.0.0.1", MaxHops: 256}, {Destination: "127.0.0.1", Wait: durationpb.New(-1)}} {
		stream, err := c.Traceroute(deadline(t), r)
		sandbox.Must(t, err)
		if m, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v, %v", r, m, err)
		}
	}
	stream, err := c.Ping(deadline(t), &hostv1.PingRequest{Destination: "127.0.0.1", Source: "192.0.2.99"})
	sandbox.Must(t, err)
	if _, err := stream.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Error(err)
	}
}

func TestSessionsAreBoundedAndEndWithTheService(t *testing.T) {
	d := device(t)
	d.Run()
	c := client(t, d)
	var streams []grpc.ServerStreamingClient[hostv1.PingResponse]
	for range 16 {
		stream, err := c.Ping(deadline(t), &hostv1.PingRequest{Destination: "127.0.0.1", Count: 10_000})
		sandbox.Must(t, err)
		_, err = stream.Recv()
		sandbox.Must(t, err)
		streams = append(streams, stream)
	}
	stream, err := c.Ping(deadline(t), &hostv1.PingRequest{Destination: "127.0.0.1"})
	sandbox.Must(t, err)
	if _, err := stream.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Error(err)
	}
	began := time.Now()
	d.Stop()
	for _, s := range streams {
		var err error
		for err == nil {
			_, err = s.Recv()
		}
		if status.Code(err) != codes.Unavailable {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the service took %v to end", took)
	}
}
