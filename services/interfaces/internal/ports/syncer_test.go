// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
)

// plane is a dataplane process: it forgets everything when it is restarted.
type plane struct {
	dataplanev1.UnimplementedDataplaneServer
	mu     sync.Mutex
	names  []string
	token  uint64
	refuse error
	calls  int
}

func (p *plane) SetPorts(_ context.Context, r *dataplanev1.SetPortsRequest) (*dataplanev1.SetPortsResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.refuse != nil {
		return nil, p.refuse
	}
	p.token, p.names = r.GetFencingToken(), nil
	for _, port := range r.GetPorts() {
		p.names = append(p.names, port.GetName())
	}
	return &dataplanev1.SetPortsResponse{Ports: []*dataplanev1.PortStatus{{Name: "ge0", Reason: "no driver support"}}}, nil
}

func (p *plane) has(names ...string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Equal(p.names, names)
}

func serve(t *testing.T, socket string, p *plane) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	dataplanev1.RegisterDataplaneServer(s, p)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return s.Stop
}

func run(t *testing.T, socket string) *Syncer {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1, MaxDelay: 5 * time.Millisecond}}))
	if err != nil {
		t.Fatal(err)
	}
	s := NewSyncer(conn, func(context.Context) (uint64, error) { return 42, nil }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; conn.Close() })
	return s
}

func await(t *testing.T, s *Syncer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Await(ctx); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestTellsTheWholeSet(t *testing.T) {
	socket, p := filepath.Join(t.TempDir(), "s"), &plane{}
	serve(t, socket, p)
	s := run(t, socket)
	if s.Accepted() == nil {
		t.Error("accepted before anything was said")
	}
	if !s.Set([]Port{{Name: "ge0", Enabled: true}}) || s.Set([]Port{{Name: "ge0", Enabled: true}}) {
		t.Error("Set does not know what is a change")
	}
	await(t, s)
	if !p.has("ge0") || p.token != 42 {
		t.Errorf("the dataplane has %v with token %d", p.names, p.token)
	}
	s.Set([]Port{{Name: "ge0", Enabled: true}, {Name: "ge1"}})
	await(t, s)
	if !p.has("ge0", "ge1") {
		t.Errorf("the dataplane has %v", p.names)
	}
	s.Set(nil)
	await(t, s)
	if !p.has() {
		t.Errorf("the dataplane has %v", p.names)
	}
}

func TestTellsAgainAfterARestart(t *testing.T) {
	socket, p := filepath.Join(t.TempDir(), "s"), &plane{}
	stop := serve(t, socket, p)
	s := run(t, socket)
	s.Set([]Port{{Name: "ge0"}})
	await(t, s)
	for range 3 {
		stop()
		eventually(t, "the loss is noticed", func() bool { return s.Accepted() != nil })
		p = &plane{}
		stop = serve(t, socket, p)
		eventually(t, "the new process has the port", func() bool { return p.has("ge0") })
		await(t, s)
	}
}

func TestRefusalIsToldAndTriedAgain(t *testing.T) {
	socket, p := filepath.Join(t.TempDir(), "s"), &plane{refuse: status.Error(codes.ResourceExhausted, "64 ports at the most")}
	serve(t, socket, p)
	s := run(t, socket)
	s.Set([]Port{{Name: "ge0"}})
	eventually(t, "the reason is known", func() bool { return strings.Contains(s.Accepted().Error(), "64 ports") })
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if s.Await(ctx) == nil {
		t.Error("accepted")
	}
	p.mu.Lock()
	p.refuse = nil
	p.mu.Unlock()
	await(t, s)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
