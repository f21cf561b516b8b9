// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"github.com/ashlar-nos/ashlar/services/state/internal/engine"
	"github.com/ashlar-nos/ashlar/services/state/internal/store"
)

const patience = 20 * time.Second

// callerKey is the metadata by which these tests say who calls.
const callerKey = "caller"

func as(t *testing.T, caller string) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, callerKey, caller)
}

// serve runs the contract on a fresh store and returns a client with the store's revision behind it.
func serve(t *testing.T) statev1.StateClient {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	e, err := engine.Open(t.Context(), engine.Config{Dir: t.TempDir(), Log: log, QuotaBytes: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	s, err := store.Open(t.Context(), store.Config{Engine: e, Log: log, QuotaBytes: 64 << 20, KeepRevisions: 1000})
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	statev1.RegisterStateServer(server, New(func(context.Context) (*store.Store, error) { return s, nil }, func(ctx context.Context) (string, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		if names := md.Get(callerKey); len(names) == 1 {
			return names[0], nil
		}
		return "", status.Error(codes.Unauthenticated, "nobody")
	}))
	l := bufconn.Listen(1 << 20)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///store", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return statev1.NewStateClient(conn)
}

func declare(t *testing.T, c statev1.StateClient, caller, table string) {
	t.Helper()
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(wrapperspb.File_google_protobuf_wrappers_proto),
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.DeclareTable(as(t, caller), &statev1.DeclareTableRequest{Name: table, MessageType: "google.protobuf.BytesValue", DescriptorSet: set})
	if err != nil {
		t.Fatal(err)
	}
}

func value(n int) []byte {
	b, err := proto.Marshal(wrapperspb.Bytes(make([]byte, n)))
	if err != nil {
		panic(err)
	}
	return b
}

func putRow(table, key string, size int) *statev1.Operation {
	return &statev1.Operation{Operation: &statev1.Operation_Put{Put: &statev1.Row{Table: table, Key: key, Value: value(size)}}}
}

func TestTransactReadWatch(t *testing.T) {
	c := serve(t)
	declare(t, c, "config", "config.objects")
	r := &statev1.TransactRequest{FencingToken: 1, Client: "c", Sequence: 1}
	for i := range 6 {
		r.Operations = append(r.Operations, putRow("config.objects", fmt.Sprint(i), 700<<10))
	}
	first, err := c.Transact(as(t, "config"), r)
	if err != nil || !first.GetConditionsMet() || first.GetRepeatedRequest() {
		t.Fatalf("%v, %v", first, err)
	}
	r.FencingToken = 2
	again, err := c.Transact(as(t, "config"), r)
	if err != nil || again.GetRevision() != first.GetRevision() || !again.GetRepeatedRequest() {
		t.Errorf("retry with a newer token: %v, %v", again, err)
	}
	if n, messages := readAll(t, c, "config.objects"); n != 6 || messages < 4 {
		t.Errorf("%d rows in %d messages, want 6 rows in chunks", n, messages)
	}
	w, err := c.Watch(as(t, "rib"), &statev1.WatchRequest{Table: "config.objects", KeyPrefix: "0"})
	if err != nil {
		t.Fatal(err)
	}
	if m := mustRecv(t, w); len(m.GetSnapshot().GetRows()) != 1 {
		t.Errorf("first message %v, want the snapshot", m)
	}
	if m := mustRecv(t, w); m.GetSynced().GetRevision() < first.GetRevision() {
		t.Errorf("second message %v, want synced", m)
	}
	del := &statev1.Operation{Operation: &statev1.Operation_Delete{Delete: &statev1.Delete{Table: "config.objects", Key: "0"}}}
	gone, err := c.Transact(as(t, "config"), &statev1.TransactRequest{FencingToken: 2, Operations: []*statev1.Operation{del},
		Conditions: []*statev1.Condition{{Table: "config.objects", Key: "0", Revision: first.GetRevision()}}})
	if err != nil || !gone.GetConditionsMet() {
		t.Fatalf("%v, %v", gone, err)
	}
	e := mustRecv(t, w).GetEvents()
	if e.GetRevision() != gone.GetRevision() || len(e.GetEvents()) != 1 || !e.GetEvents()[0].GetDeleted() || e.GetEvents()[0].GetRow().GetKey() != "0" {
		t.Errorf("event %v, want the deletion at %d", e, gone.GetRevision())
	}
}

func mustRecv[T any](t *testing.T, s grpc.ServerStreamingClient[T]) *T {
	t.Helper()
	m, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func readAll(t *testing.T, c statev1.StateClient, table string) (rows, messages int) {
	t.Helper()
	stream, err := c.Read(as(t, "rib"), &statev1.ReadRequest{Table: table, Prefix: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return rows, messages
		}
		rows, messages = rows+len(m.GetRows()), messages+1
	}
}

func TestCodes(t *testing.T) {
	c := serve(t)
	declare(t, c, "config", "config.objects")
	transact := func(caller string, token uint64, operations ...*statev1.Operation) error {
		_, err := c.Transact(as(t, caller), &statev1.TransactRequest{FencingToken: token, Operations: operations})
		return err
	}
	if err := transact("config", 5, putRow("config.objects", "k", 1)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		desc string
		err  error
		want codes.Code
	}{
		{"stale token", transact("config", 4, putRow("config.objects", "k", 1)), codes.FailedPrecondition},
		{"another writer", transact("rib", 5, putRow("config.objects", "k", 1)), codes.PermissionDenied},
		{"no table", transact("config", 5, putRow("none", "k", 1)), codes.NotFound},
		{"empty operation", transact("config", 5, &statev1.Operation{}), codes.InvalidArgument},
		{"too large", transact("config", 5, putRow("config.objects", "k", 16<<20)), codes.ResourceExhausted},
		{"future revision", recvError(c.Read(as(t, "rib"), &statev1.ReadRequest{Table: "config.objects", Revision: 999})), codes.OutOfRange},
		{"watch of no table", recvError(c.Watch(as(t, "rib"), &statev1.WatchRequest{Table: "none"})), codes.NotFound},
		{"no lease", second(c.RevokeLease(as(t, "config"), &statev1.RevokeLeaseRequest{Lease: 9})), codes.NotFound},
		{"no time to live", second(c.GrantLease(as(t, "config"), &statev1.GrantLeaseRequest{})), codes.InvalidArgument},
		{"nobody", second(c.GrantLease(t.Context(), &statev1.GrantLeaseRequest{TtlSeconds: 1})), codes.Unauthenticated},
	} {
		if got := status.Code(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", c.desc, c.err, c.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func recvError[T any](s grpc.ServerStreamingClient[T], err error) error {
	if err == nil {
		_, err = s.Recv()
	}
	return err
}

func TestRegistryLivesWithItsStream(t *testing.T) {
	c := serve(t)
	d, err := c.Discover(as(t, "config"), &statev1.DiscoverRequest{Service: "rib"})
	if err != nil {
		t.Fatal(err)
	}
	if m := mustRecv(t, d); !m.GetSynced() {
		t.Errorf("first message %v, want synced", m)
	}
	instance := &statev1.ServiceInstance{Service: "rib", Instance: "0", Version: "1.2.3"}
	reg, err := c.Register(as(t, "rib"), &statev1.RegisterRequest{Instance: instance, TtlSeconds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if m := mustRecv(t, d); m.GetInstance().GetVersion() != "1.2.3" || m.GetGone() {
		t.Errorf("message %v, want the instance", m)
	}
	ctx, cancel := context.WithCancel(as(t, "rib"))
	k, err := c.KeepAlive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Send(&statev1.KeepAliveRequest{Lease: reg.GetLease()}); err != nil {
		t.Fatal(err)
	}
	// One request keeps the lease for as long as the stream lives: six renewals are two of its lives.
	for range 6 {
		if m, err := k.Recv(); err != nil || m.GetLease() != reg.GetLease() {
			t.Fatalf("%v, %v", m, err)
		}
	}
	cancel()
	if m := mustRecv(t, d); !m.GetGone() || m.GetInstance().GetService() != "rib" || m.GetInstance().GetInstance() != "0" {
		t.Errorf("message %v, want that the instance is gone", m)
	}
	k, err = c.KeepAlive(as(t, "rib"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Send(&statev1.KeepAliveRequest{Lease: reg.GetLease()}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Recv(); status.Code(err) != codes.NotFound {
		t.Errorf("a lease that is gone: %v, want NOT_FOUND", err)
	}
}

func TestStatus(t *testing.T) {
	c := serve(t)
	declare(t, c, "config", "config.objects")
	if _, err := c.GrantLease(as(t, "config"), &statev1.GrantLeaseRequest{TtlSeconds: 60}); err != nil {
		t.Fatal(err)
	}
	watch, err := c.Watch(as(t, "config"), &statev1.WatchRequest{Table: "config.objects"})
	if err == nil {
		_, err = watch.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.GetStatus(as(t, "config"), &statev1.GetStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if st.GetMembers() != 1 || st.GetRevision() == 0 || st.GetQuotaBytes() != 64<<20 || len(st.GetTables()) != 2 || st.GetTables()[0].GetWriter() != "config" {
		t.Errorf("status %v", st)
	}
	if st.GetWatches() != 1 || st.GetLeases() != 1 {
		t.Errorf("%d watches and %d leases, want one of each", st.GetWatches(), st.GetLeases())
	}
}
