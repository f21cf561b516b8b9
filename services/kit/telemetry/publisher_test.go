// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"pgregory.net/rapid"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	telemetryv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/telemetry/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/telemetry"
)

// view is what a subscriber knows, as it would keep it.
type view map[string]int64

func (v view) apply(n *gnmi.Notification) {
	for _, d := range n.GetDelete() {
		for path := range v {
			if gpath.MatchPrefix(d, gpath.MustParse(path)) {
				delete(v, path)
			}
		}
	}
	for _, u := range n.GetUpdate() {
		v[gpath.String(u.GetPath())] = u.GetVal().GetIntVal()
	}
}

func subscribe(t testing.TB, p *telemetry.Publisher) grpc.ServerStreamingClient[telemetryv1.SubscribeResponse] {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	s := grpc.NewServer()
	telemetryv1.RegisterTelemetryServer(s, telemetry.NewServer(p))
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:test", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	stream, err := telemetryv1.NewTelemetryClient(conn).Subscribe(ctx, &telemetryv1.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// TestSubscriberEndsWhereThePublisherIs drives random sets and deletes and checks that a subscriber, however its
// reads fall among them, ends with the publisher's leaves.
func TestSubscriberEndsWhereThePublisherIs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p, want := telemetry.NewPublisher(), view{}
		stream := subscribe(t, p)
		got := view{}
		for range rapid.IntRange(0, 40).Draw(rt, "steps") {
			root := fmt.Sprintf("/a/b[k=%d]", rapid.IntRange(0, 3).Draw(rt, "entry"))
			leaf := fmt.Sprintf("%s/state/l%d", root, rapid.IntRange(0, 2).Draw(rt, "leaf"))
			switch rapid.IntRange(0, 3).Draw(rt, "kind") {
			case 0:
				p.Publish(time.Now(), nil, root)
				want.apply(&gnmi.Notification{Delete: []*gnmi.Path{gpath.MustParse(root)}})
			case 1:
				p.ReplaceSubtree(time.Now(), root, map[string]any{leaf: 7})
				want.apply(&gnmi.Notification{Delete: []*gnmi.Path{gpath.MustParse(root)}})
				want[leaf] = 7
			default:
				value := rapid.Int64Range(0, 2).Draw(rt, "value")
				p.Publish(time.Now(), map[string]any{leaf: value})
				want[leaf] = value
			}
		}
		p.Publish(time.Now(), map[string]any{"/end": 1})
		for got["/end"] != 1 {
			m, err := stream.Recv()
			if err != nil {
				rt.Fatal(err)
			}
			if m.GetNotification() != nil {
				got.apply(m.GetNotification())
			}
		}
		delete(got, "/end")
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("subscriber has %v, publisher %v", got, want)
		}
	})
}

func TestUnchangedValueIsNotSentAgain(t *testing.T) {
	p := telemetry.NewPublisher()
	p.Publish(time.Unix(1, 0), map[string]any{"/a": 1})
	stream := subscribe(t, p)
	if m, err := stream.Recv(); err != nil || m.GetNotification().GetTimestamp() != 1e9 {
		t.Fatalf("got %v, %v, want the snapshot with its own timestamp", m, err)
	}
	if m, err := stream.Recv(); err != nil || m.GetSynced() == nil {
		t.Fatalf("got %v, %v, want synced", m, err)
	}
	p.Publish(time.Unix(2, 0), map[string]any{"/a": 1})
	p.Publish(time.Unix(3, 0), map[string]any{"/b": "x"})
	m, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if u := m.GetNotification().GetUpdate(); len(u) != 1 || gpath.String(u[0].GetPath()) != "/b" {
		t.Errorf("got %v, want only what changed", m)
	}
}

func TestValueTypes(t *testing.T) {
	p := telemetry.NewPublisher()
	for _, value := range []any{true, "s", 1, int32(1), int64(1), uint8(1), uint16(1), uint32(1), uint64(1), 1.5, []byte{1}, []string{"a"}} {
		p.Publish(time.Now(), map[string]any{"/v": value})
	}
	defer func() {
		if recover() == nil {
			t.Error("want a panic for a type that gNMI has no value for")
		}
	}()
	p.Publish(time.Now(), map[string]any{"/v": struct{}{}})
}

func TestEndOfThePublisherEndsSubscriptions(t *testing.T) {
	p := telemetry.NewPublisher()
	stream := subscribe(t, p)
	if m, err := stream.Recv(); err != nil || m.GetSynced() == nil {
		t.Fatalf("%v, %v; want synced", m, err)
	}
	p.End()
	p.End()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("after the end: %v, want UNAVAILABLE", err)
	}
}
