// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
	"github.com/ashlar-nos/ashlar/services/kit/peer"
)

// watched serves a stream that ends with its context.
type watched struct {
	healthv1.UnimplementedHealthServer
}

func (watched) Check(context.Context, *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	return &healthv1.HealthCheckResponse{}, nil
}

func (watched) Watch(req *healthv1.HealthCheckRequest, stream healthv1.Health_WatchServer) error {
	for {
		if err := stream.Send(&healthv1.HealthCheckResponse{}); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// withFront starts a component that has a socket more, and a front there.
func withFront(t *testing.T, drain string, lasting ...string) (*kittest.Device, *kit.Front) {
	t.Helper()
	text := strings.Replace(string(manifestYAML), "sockets:\n", "drain: "+drain+"\nsockets:\n  - {name: extra, unix: banner.extra.sock}\n", 1)
	var front *kit.Front
	d := kittest.Start(t, []byte(text), func(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
		if _, err := rt.Front("other", kit.FrontOptions{}); err == nil {
			t.Error("there is a front on a socket that nobody handed over")
		}
		var err error
		front, err = rt.Front("extra", kit.FrontOptions{Credentials: peer.Credentials(), Lasting: lasting})
		if err != nil {
			return nil, err
		}
		healthv1.RegisterHealthServer(front, watched{})
		reflection.Register(front)
		return idle{}, nil
	})
	return d, front
}

func dialExtra(t *testing.T, d *kittest.Device) healthv1.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+d.Layout.Socket("banner.extra.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return healthv1.NewHealthClient(conn)
}

func TestFrontWaitsUntilTheServiceOpensIt(t *testing.T) {
	d, front := withFront(t, "2s")
	client := dialExtra(t, d)
	early, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Check(early, &healthv1.HealthCheckRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("before Open: got %v, want the client to wait", err)
	}
	for range 2 {
		if err := front.Open(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Check(deadline(t), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("after Open: %v", err)
	}
	if err := d.Running().Freeze(); err != nil {
		t.Fatal(err)
	}
	frozen, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Check(frozen, &healthv1.HealthCheckRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("frozen: got %v, want the client to wait", err)
	}
	d.Running().Unfreeze()
	if _, err := client.Check(deadline(t), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("unfrozen: %v", err)
	}
}

func TestDrainEndsStreamsOfAFront(t *testing.T) {
	for _, tt := range []struct {
		desc     string
		lasting  []string
		min, max time.Duration
	}{
		{"a stream that is cut", nil, 0, 700 * time.Millisecond},
		{"one that lasts", []string{"/grpc.health.v1.Health/Watch"}, 800 * time.Millisecond, 3 * time.Second},
	} {
		d, front := withFront(t, "1s", tt.lasting...)
		if err := front.Open(); err != nil {
			t.Fatal(err)
		}
		stream, err := dialExtra(t, d).Watch(deadline(t), &healthv1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		if tt.lasting != nil {
			// Somebody takes over: without a successor nothing lasts.
			if err := d.Running().Freeze(); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		d.Running().Drain()
		for err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "being replaced") {
			t.Errorf("%s: ended with %v, want UNAVAILABLE", tt.desc, err)
		}
		if took := time.Since(began); took < tt.min || took > tt.max {
			t.Errorf("%s: ended after %v, want %v to %v", tt.desc, took, tt.min, tt.max)
		}
		d.Running().Wait()
	}
}

// TestSilentClientsDoNotHoldUp: who connects and says nothing neither keeps a component from being replaced nor others
// from being served.
func TestSilentClientsDoNotHoldUp(t *testing.T) {
	d := kittest.Start(t, manifestYAML, construct(idle{}))
	for range 3 {
		conn, err := net.Dial("unix", d.Layout.Socket("banner.sock"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	tr := startTraffic(t, d)
	d.TakeOver(d.Stage(construct(idle{})))
	tr.end()
}
