// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// hall is a House that knows every path but those below /unknown, and holds a snapshot of n objects.
type hall struct {
	objects int
	stopped chan struct{}
	refuse  error
	// decisions are what observers hear.
	decisions decisions
}

func (h *hall) Ready(context.Context) (<-chan struct{}, error) { return h.stopped, nil }
func (h *hall) Observe() Decisions                             { return h.decisions }
func (h *hall) Check(p *gnmi.Path) error {
	if strings.HasPrefix(gpath.String(p), "/unknown") {
		return errors.New("the model does not know it")
	}
	return nil
}
func (h *hall) Declare(_ context.Context, take func() (func(), error)) error {
	undo, err := take()
	if err == nil && h.refuse != nil {
		undo()
		err = h.refuse
	}
	return err
}
func (h *hall) Snapshot(patterns []*gnmi.Path) (int64, []*configv1.Subtree, error) {
	var out []*configv1.Subtree
	for i := range h.objects {
		out = append(out, &configv1.Subtree{Path: gpath.MustParse(fmt.Sprintf("/a[k=%d]", i)), Json: []byte(strings.Repeat("x", 4096))})
	}
	return 7, out, nil
}

// bench is a registry that is served; the caller's name comes with the call.
type bench struct {
	t        *testing.T
	registry *Registry
	hall     *hall
	client   configv1.ConfigClient
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, registry: NewRegistry(), hall: &hall{stopped: make(chan struct{}), decisions: make(decisions, 16)}}
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer()
	caller := func(ctx context.Context) string {
		md, _ := metadata.FromIncomingContext(ctx)
		return strings.Join(md.Get("component"), "")
	}
	configv1.RegisterConfigServer(s, NewServer(b.registry, b.hall, caller, slog.New(slog.NewTextHandler(io.Discard, nil))))
	go func() { _ = s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); s.Stop() })
	b.client = configv1.NewConfigClient(conn)
	return b
}

// say opens a stream and sends messages.
func (b *bench) say(component string, messages ...*configv1.AttachRequest) configv1.Config_AttachClient {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "component", component), 20*time.Second)
	b.t.Cleanup(cancel)
	stream, err := b.client.Attach(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range messages {
		if err := stream.Send(m); err != nil && err != io.EOF {
			b.t.Fatal(err)
		}
	}
	return stream
}

func hello(token uint64, patterns ...string) *configv1.AttachRequest {
	h := &configv1.Hello{FencingToken: token}
	for _, p := range patterns {
		h.Patterns = append(h.Patterns, gpath.MustParse(p))
	}
	return &configv1.AttachRequest{Message: &configv1.AttachRequest_Hello{Hello: h}}
}

func restored(revision int64) *configv1.AttachRequest {
	return &configv1.AttachRequest{Message: &configv1.AttachRequest_Restored{Restored: &configv1.Restored{Revision: revision}}}
}

func prepared(transaction uint64, refusal *configv1.Refusal) *configv1.AttachRequest {
	return &configv1.AttachRequest{Message: &configv1.AttachRequest_Prepared{Prepared: &configv1.Prepared{Transaction: transaction, Refusal: refusal}}}
}

// attach attaches for good and waits until the registry serves it.
func (b *bench) attach(component string, token uint64, pattern string) (configv1.Config_AttachClient, *Session) {
	b.t.Helper()
	stream := b.say(component, hello(token, pattern))
	for last := false; !last; {
		m, err := stream.Recv()
		if err != nil {
			b.t.Fatal(err)
		}
		last = m.GetSnapshot().GetLast()
	}
	if err := stream.Send(restored(7)); err != nil {
		b.t.Fatal(err)
	}
	for deadline := time.After(20 * time.Second); ; {
		changed := b.registry.Changed()
		if s, err := b.registry.Session(Declaration{Pattern: gpath.MustParse(pattern)}); err == nil && s.token == token {
			return stream, s
		}
		select {
		case <-changed:
		case <-deadline:
			b.t.Fatal("the owner is not served")
		}
	}
}

// ending is the status that ends a stream.
func ending(stream configv1.Config_AttachClient) codes.Code {
	for {
		if _, err := stream.Recv(); err != nil {
			return status.Code(err)
		}
	}
}

func TestAttachRefusals(t *testing.T) {
	b := newBench(t)
	b.attach("rib", 5, "/routes/route[prefix=*]")
	for _, tt := range []struct {
		desc      string
		component string
		messages  []*configv1.AttachRequest
		want      codes.Code
	}{
		{"no hello", "fpm", []*configv1.AttachRequest{restored(7)}, codes.InvalidArgument},
		{"an empty message", "fpm", []*configv1.AttachRequest{{}}, codes.InvalidArgument},
		{"no patterns", "fpm", []*configv1.AttachRequest{hello(5)}, codes.InvalidArgument},
		{"a pattern the model lacks", "fpm", []*configv1.AttachRequest{hello(5, "/unknown")}, codes.InvalidArgument},
		{"patterns that overlap", "fpm", []*configv1.AttachRequest{hello(5, "/a", "/a/b")}, codes.InvalidArgument},
		{"another live owner's pattern", "fpm", []*configv1.AttachRequest{hello(9, "/routes/route[prefix=*]")}, codes.AlreadyExists},
		{"above another live owner's", "fpm", []*configv1.AttachRequest{hello(9, "/routes")}, codes.AlreadyExists},
		{"below another live owner's", "fpm", []*configv1.AttachRequest{hello(9, "/routes/route[prefix=10.0.0.0/8]/config")}, codes.AlreadyExists},
		{"the same owner with a token as high", "rib", []*configv1.AttachRequest{hello(5, "/routes/route[prefix=*]")}, codes.AlreadyExists},
		{"the same owner with an older token", "rib", []*configv1.AttachRequest{hello(4, "/other")}, codes.FailedPrecondition},
		{"restored with another revision", "fpm", []*configv1.AttachRequest{hello(5, "/b"), restored(6)}, codes.InvalidArgument},
		{"prepared before restored", "fpm", []*configv1.AttachRequest{hello(5, "/b"), prepared(1, nil)}, codes.InvalidArgument},
		{"hello twice", "fpm", []*configv1.AttachRequest{hello(5, "/b"), restored(7), hello(5, "/b")}, codes.InvalidArgument},
	} {
		if got := ending(b.say(tt.component, tt.messages...)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.desc, got, tt.want)
		}
	}
}

func TestDeclarationThatCannotBeStored(t *testing.T) {
	b := newBench(t)
	b.registry.Remember(map[string][]*gnmi.Path{"rib": {gpath.MustParse("/routes")}})
	b.hall.refuse = errors.New("the store is away")
	if got := ending(b.say("rib", hello(1, "/routes/route[prefix=*]"))); got != codes.Unavailable {
		t.Errorf("attach: %s, want Unavailable", got)
	}
	if d := b.registry.Declared().All; len(d) != 1 || gpath.String(d[0].Pattern) != "/routes" {
		t.Errorf("declared is %v, want what it was", d)
	}
}

func TestSnapshotInChunks(t *testing.T) {
	b := newBench(t)
	b.hall.objects = 2000
	stream := b.say("rib", hello(1, "/a[k=*]"))
	objects, messages := 0, 0
	for last := false; !last; messages++ {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		objects += len(m.GetSnapshot().GetSubtrees())
		last = m.GetSnapshot().GetLast()
	}
	if objects != 2000 || messages < 4 {
		t.Errorf("%d objects in %d messages", objects, messages)
	}
}

func TestNewerTokenReplaces(t *testing.T) {
	b := newBench(t)
	old, first := b.attach("rib", 1, "/routes")
	_, second := b.attach("rib", 2, "/routes")
	if got := ending(old); got != codes.Aborted {
		t.Errorf("the old stream ended with %s, want Aborted", got)
	}
	if first == second {
		t.Error("the old session still serves")
	}
	if err := first.Prepare(t.Context(), 1, 0, nil); !errors.Is(err, ErrAway) {
		t.Errorf("a question to the old session: %v, want %v", err, ErrAway)
	}
}

func TestAnswersFindTheirQuestions(t *testing.T) {
	b := newBench(t)
	stream, s := b.attach("rib", 1, "/routes")
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			id := m.GetPrepare().GetTransaction()
			// An answer to nobody first, then a refusal whose code says that all is well.
			_ = stream.Send(prepared(id+100, nil))
			_ = stream.Send(prepared(id, &configv1.Refusal{Path: gpath.MustParse("/routes/x"), Reason: "no"}))
		}
	}()
	err := s.Prepare(t.Context(), 1, 0, nil)
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Code != codes.Internal || refusal.Owner != "rib" || gpath.String(refusal.Path) != "/routes/x" {
		t.Errorf("error %v, want a refusal that is one", err)
	}
}

func TestStoppedHouseEndsStreams(t *testing.T) {
	b := newBench(t)
	stream, s := b.attach("rib", 1, "/routes")
	close(b.hall.stopped)
	if got := ending(stream); got != codes.Unavailable {
		t.Errorf("the stream ended with %s, want Unavailable", got)
	}
	if err := s.Commit(t.Context(), 1, 1); !errors.Is(err, ErrAway) {
		t.Errorf("a question after the end: %v, want %v", err, ErrAway)
	}
	if here, away := b.registry.Attached(); len(here) != 0 || fmt.Sprint(away) != "[rib]" {
		t.Errorf("here %v, away %v", here, away)
	}
}
