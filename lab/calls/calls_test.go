// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package calls_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ashlar-nos/ashlar/lab/calls"
	"github.com/openconfig/gnmi/proto/gnmi"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// target is a gNMI target with one leaf that can be told to misbehave.
type target struct {
	gnmi.UnimplementedGNMIServer
	mu    sync.Mutex
	value []byte
	// refuse is called before each call; what it returns is the answer.
	refuse func(n int) error
	n      int
	// forget drops what is set, though it is acknowledged.
	forget bool
	done   func()
}

// enough is how many calls a test makes.
const enough = 12

func (s *target) answer() error {
	s.n++
	if s.n == enough {
		s.done()
	}
	if s.refuse != nil {
		return s.refuse(s.n)
	}
	return nil
}

func (s *target) Set(_ context.Context, r *gnmi.SetRequest) (*gnmi.SetResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.answer(); err != nil {
		return nil, err
	}
	if !s.forget || s.value == nil {
		s.value = r.GetUpdate()[0].GetVal().GetJsonIetfVal()
	}
	return &gnmi.SetResponse{}, nil
}

func (s *target) Get(context.Context, *gnmi.GetRequest) (*gnmi.GetResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.answer(); err != nil {
		return nil, err
	}
	return &gnmi.GetResponse{Notification: []*gnmi.Notification{{Update: []*gnmi.Update{{
		Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: s.value}},
	}}}}}, nil
}

// run lets a client call the target until it has made enough calls.
func run(t *testing.T, s *target) calls.Stats {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	gnmi.RegisterGNMIServer(server, s)
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(listener) }()
	defer func() { server.Stop(); <-served }()
	ctx, cancel := context.WithCancel(t.Context())
	s.done = cancel
	client, err := calls.New("unix://"+socket, "/interfaces/interface[name=ge0]/config/description", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.Run(ctx)
	return client.Stats()
}

func TestHealthy(t *testing.T) {
	s := run(t, &target{})
	if s.Made != enough || s.Failed+s.Retried != 0 || s.Sets != enough/2 {
		t.Errorf("%+v", s)
	}
	if s.Quantile(0.5) <= 0 || s.Quantile(1) < s.Quantile(0.5) {
		t.Errorf("latencies: %v", s.Latencies)
	}
}

func TestUnavailableIsRetried(t *testing.T) {
	s := run(t, &target{refuse: func(n int) error {
		if n == 3 || n == 4 || n == 6 {
			return status.Error(codes.Unavailable, "away")
		}
		return nil
	}})
	if s.Retried != 3 || s.Failed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestOtherErrorsFail(t *testing.T) {
	s := run(t, &target{refuse: func(n int) error {
		if n == 3 {
			return status.Error(codes.Internal, "broken")
		}
		return nil
	}})
	if s.Failed != 1 || s.Retried != 0 || len(s.Errors) != 1 || !strings.Contains(s.Errors[0].Error(), "broken") {
		t.Errorf("%+v", s)
	}
}

func TestMissingChangeIsNoticed(t *testing.T) {
	s := run(t, &target{forget: true})
	if s.Failed == 0 || !strings.Contains(s.Errors[0].Error(), "acknowledged change is missing") {
		t.Errorf("%+v", s)
	}
}

func TestSince(t *testing.T) {
	s := run(t, &target{})
	if d := s.Since(s); d.Made != 0 || len(d.Latencies) != 0 {
		t.Errorf("%+v", d)
	}
	if d := s.Since(calls.Stats{}); d.Made != s.Made || len(d.Latencies) != len(s.Latencies) {
		t.Errorf("%+v", d)
	}
}
