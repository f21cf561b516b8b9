// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/ashlar-nos/ashlar/services/config/internal/access"
	"github.com/ashlar-nos/ashlar/services/config/internal/commit"
	"github.com/ashlar-nos/ashlar/services/config/internal/feed"
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/config/yang"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

var loadModel = sync.OnceValues(func() (*schema.Model, error) { return schema.Load(yang.Files()) })

// device is a server on a feed; its setter accepts whatever the model does.
type device struct {
	t      testing.TB
	feed   *feed.Feed
	client pb.GNMIClient
	config *tree.Tree
	log    bytes.Buffer // read between calls only
}

func newDevice(t testing.TB) *device {
	t.Helper()
	model, err := loadModel()
	if err != nil {
		t.Fatal(err)
	}
	d := &device{t: t, feed: feed.New(model), config: tree.NewConfig(model)}
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer(grpc.UnaryInterceptor(asMason))
	pb.RegisterGNMIServer(s, NewServer(d.feed, d, NewMetrics(prometheus.NewRegistry()), slog.New(slog.NewJSONHandler(&d.log, nil))))
	go func() { _ = s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); s.Stop() })
	d.client = pb.NewGNMIClient(conn)
	return d
}

// asMason stands in for the access gate.
func asMason(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	return next(access.WithIdentity(ctx, access.Identity{User: "mason", Role: access.Operator, Means: "password"}), request)
}

// Set implements Setter without owners and without a store.
func (d *device) Set(_ context.Context, _ string, request *pb.SetRequest) (commit.Outcome, error) {
	edit := d.config.Edit(time.Now())
	if err := edit.Apply(request); err != nil {
		return commit.Outcome{}, err
	}
	next, _, err := edit.Commit()
	if err != nil {
		return commit.Outcome{}, err
	}
	d.config = next
	d.feed.PublishConfig(next)
	return commit.Outcome{Revision: 7, Time: time.Now()}, nil
}

// configure sets JSON values by path; an empty one deletes.
func (d *device) configure(values ...string) {
	d.t.Helper()
	r := &pb.SetRequest{}
	for i := 0; i < len(values); i += 2 {
		if values[i+1] == "" {
			r.Delete = append(r.Delete, gpath.MustParse(values[i]))
			continue
		}
		r.Update = append(r.Update, update(values[i], values[i+1]))
	}
	if _, err := d.Set(d.t.Context(), "", r); err != nil {
		d.t.Fatal(err)
	}
}

func update(path, json string) *pb.Update {
	return &pb.Update{Path: gpath.MustParse(path), Val: &pb.TypedValue{Value: &pb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(json)}}}
}

// publish sends state leaves as a component would; nil deletes.
func (d *device) publish(values map[string]any) {
	d.t.Helper()
	n := &pb.Notification{Timestamp: time.Now().UnixNano()}
	for path, value := range values {
		switch v := value.(type) {
		case nil:
			n.Delete = append(n.Delete, gpath.MustParse(path))
		case int:
			n.Update = append(n.Update, &pb.Update{Path: gpath.MustParse(path), Val: &pb.TypedValue{Value: &pb.TypedValue_UintVal{UintVal: uint64(v)}}})
		case string:
			n.Update = append(n.Update, &pb.Update{Path: gpath.MustParse(path), Val: &pb.TypedValue{Value: &pb.TypedValue_StringVal{StringVal: v}}})
		default:
			d.t.Fatalf("a value of type %T", value)
		}
	}
	d.feed.EditState(func(e *tree.StateEdit) {
		if errs := e.Put(1, n); len(errs) > 0 {
			d.t.Errorf("publish: %v", errs)
		}
	})
}

func (d *device) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	d.t.Cleanup(cancel)
	return ctx
}

// subscriber reads one Subscribe call.
type subscriber struct {
	t      testing.TB
	stream pb.GNMI_SubscribeClient
	cancel context.CancelFunc
}

func (d *device) subscribe(list *pb.SubscriptionList) *subscriber {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.context())
	d.t.Cleanup(cancel)
	stream, err := d.client.Subscribe(ctx)
	if err == nil {
		err = stream.Send(&pb.SubscribeRequest{Request: &pb.SubscribeRequest_Subscribe{Subscribe: list}})
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return &subscriber{t: d.t, stream: stream, cancel: cancel}
}

// list is a SubscriptionList in PROTO of one entry for each path.
func list(mode pb.SubscriptionList_Mode, how pb.SubscriptionMode, paths ...string) *pb.SubscriptionList {
	out := &pb.SubscriptionList{Mode: mode, Encoding: pb.Encoding_PROTO}
	for _, p := range paths {
		out.Subscription = append(out.Subscription, &pb.Subscription{Path: gpath.MustParse(p), Mode: how})
	}
	return out
}

// heard is what a subscriber was told: values by path, "deleted" for deletes; sync ends it.
type heard struct {
	values     map[string]string
	duplicates uint32
	prefixes   []*pb.Path
	synced     bool
}

// next reads one message into what was heard.
func (s *subscriber) next(h *heard) {
	s.t.Helper()
	m, err := s.stream.Recv()
	if err != nil {
		s.t.Fatalf("Subscribe ended: %v", err)
	}
	h.synced = h.synced || m.GetSyncResponse()
	n := m.GetUpdate()
	if n == nil {
		return
	}
	h.prefixes = append(h.prefixes, n.GetPrefix())
	for _, p := range n.GetDelete() {
		h.values[gpath.String(p)] = "deleted"
	}
	for _, u := range n.GetUpdate() {
		h.values[gpath.String(u.GetPath())] = scalar(u.GetVal())
		h.duplicates += u.GetDuplicates()
	}
}

func newHeard() *heard { return &heard{values: map[string]string{}} }

// untilSync reads up to and with the sync.
func (s *subscriber) untilSync() *heard {
	s.t.Helper()
	h := newHeard()
	for !h.synced {
		s.next(h)
	}
	return h
}

// until reads until a path has a value.
func (s *subscriber) until(path, want string) *heard {
	s.t.Helper()
	h := newHeard()
	for h.values[path] != want {
		s.next(h)
	}
	return h
}

// end returns the error that ends the call.
func (s *subscriber) end() error {
	for {
		if _, err := s.stream.Recv(); err != nil {
			return err
		}
	}
}

func scalar(v *pb.TypedValue) string {
	switch v := v.GetValue().(type) {
	case *pb.TypedValue_JsonVal:
		return string(v.JsonVal)
	case *pb.TypedValue_JsonIetfVal:
		return string(v.JsonIetfVal)
	case *pb.TypedValue_StringVal:
		return v.StringVal
	case *pb.TypedValue_UintVal:
		return fmt.Sprint(v.UintVal)
	case *pb.TypedValue_IntVal:
		return fmt.Sprint(v.IntVal)
	case *pb.TypedValue_BoolVal:
		return fmt.Sprint(v.BoolVal)
	}
	return fmt.Sprint(v)
}
