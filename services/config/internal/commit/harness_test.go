// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/statetest"
	"github.com/ashlar-nos/ashlar/services/config/internal/store"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/config/yang"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

const (
	ifaces = "/interfaces/interface[name=*]"
	system = "/system/config"
	static = "/network-instances/network-instance[name=*]/protocols/protocol[identifier=*][name=*]/static-routes/static[prefix=*]"
)

var loadModel = sync.OnceValues(func() (*schema.Model, error) { return schema.Load(yang.Files()) })

// house is one life of the commit engine on a store that outlives it.
type house struct {
	t      testing.TB
	engine *Engine
	owners *grpc.ClientConn
	stop   context.CancelFunc
	ended  chan error
	token  atomic.Uint64

	mu        sync.Mutex
	published *tree.Tree
}

// lives counts the fencing tokens.
type lives struct {
	token    uint64
	patience time.Duration
	limit    time.Duration
	absence  time.Duration
}

// open starts a life. It is ended with the test.
func (l *lives) open(t testing.TB, state *statetest.Store, steps Steps) *house {
	t.Helper()
	model, err := loadModel()
	if err != nil {
		t.Fatal(err)
	}
	l.token++
	h := &house{t: t, ended: make(chan error, 1)}
	h.token.Store(l.token)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	registry := owners.NewRegistry()
	conn := serve(t, func(s *grpc.Server) { statev1.RegisterStateServer(s, state) })
	h.engine = New(Options{
		Model: model, Registry: registry, Log: log, Metrics: NewMetrics(prometheus.NewRegistry()), Steps: steps,
		Store:   store.New(conn, func(context.Context) (uint64, error) { return h.token.Load(), nil }, log),
		Publish: h.publish, Patience: l.patience, Limit: l.limit, Absence: l.absence,
	})
	h.owners = serve(t, func(s *grpc.Server) {
		configv1.RegisterConfigServer(s, owners.NewServer(registry, h.engine, func(context.Context) string { return "owner" }, log))
	})
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	done := make(chan struct{})
	go func() { defer close(done); h.ended <- h.engine.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return h
}

// candidate returns an engine on the same store that is not run: it has no token.
func (h *house) candidate(state *statetest.Store) *Engine {
	h.t.Helper()
	conn := serve(h.t, func(s *grpc.Server) { statev1.RegisterStateServer(s, state) })
	never := func(ctx context.Context) (uint64, error) { <-ctx.Done(); return 0, ctx.Err() }
	return New(Options{
		Model: h.engine.Model, Registry: owners.NewRegistry(), Log: h.engine.Log, Metrics: NewMetrics(prometheus.NewRegistry()),
		Store: store.New(conn, never, h.engine.Log),
	})
}

// head is the stored head row.
func head(t testing.TB, state *statetest.Store) *configv1.HeadRow {
	t.Helper()
	row := &configv1.HeadRow{}
	must(t, proto.Unmarshal(state.Value("config.head", "head"), row))
	return row
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) publish(t *tree.Tree) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.published = t
}

// serve runs a gRPC server in memory and returns a connection to it.
func serve(t testing.TB, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	register(s)
	go func() { _ = s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); s.Stop() })
	return conn
}

// ready waits until transactions may run.
func (h *house) ready() {
	h.t.Helper()
	select {
	case <-h.engine.Started():
	case err := <-h.ended:
		h.t.Fatalf("the engine ended: %v", err)
	case <-time.After(20 * time.Second):
		h.t.Fatalf("not ready: %v", h.engine.Probe())
	}
}

// attach runs an owner for the rest of this life and waits until it serves its patterns.
func (h *house) attach(s *stone) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() { defer close(gone); s.attach(ctx, h.owners) }()
	h.t.Cleanup(func() { cancel(); <-gone })
	h.await(s)
}

// await waits until an owner serves its patterns.
func (h *house) await(s *stone) {
	h.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		changed := h.engine.Registry.Changed()
		if _, err := h.engine.Registry.Session(owners.Declaration{Pattern: s.patterns[0]}); err == nil {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			h.t.Fatal("the owner did not attach")
		}
	}
}

// set makes a Set of JSON values by path; an empty value deletes.
func (h *house) set(values ...string) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return h.engine.Set(ctx, "mason", request(values...))
}

func request(values ...string) *pb.SetRequest {
	r := &pb.SetRequest{}
	for i := 0; i < len(values); i += 2 {
		path := gpath.MustParse(values[i])
		if values[i+1] == "" {
			r.Delete = append(r.Delete, path)
			continue
		}
		r.Update = append(r.Update, &pb.Update{Path: path, Val: &pb.TypedValue{
			Value: &pb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(values[i+1])},
		}})
	}
	return r
}

// config is the accepted configuration at a path, "" when there is none.
func (h *house) config(path string) string {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	bound, err := h.engine.Model.Resolve(gpath.MustParse(path))
	if err != nil {
		h.t.Fatal(err)
	}
	if h.published == nil {
		return ""
	}
	return string(h.published.JSONAt(bound))
}

// crash ends a life without a word: its owners' streams break and it writes nothing more.
func (h *house) crash() {
	h.owners.Close()
	h.engine.stop()
	h.stop()
}

func contains(t testing.TB, what, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("%s is %q, want %q in it", what, text, want)
	}
}
