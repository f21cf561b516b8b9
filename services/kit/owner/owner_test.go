// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
)

// recorder is a handler that writes down what it is asked.
type recorder struct {
	mu     sync.Mutex
	calls  []string
	failed bool
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
}

func (r *recorder) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

func (r *recorder) Prepare(_ context.Context, c owner.Change) error {
	for _, o := range c.Objects {
		if string(o.New) == `"bad"` {
			return owner.Refuse(o.Path, codes.InvalidArgument, "bad is bad")
		}
	}
	return nil
}

func (r *recorder) Commit(_ context.Context, c owner.Change) error {
	if r.failed {
		return errors.New("the kernel said no")
	}
	for _, o := range c.Objects {
		r.note("%s %s→%s at %d of %d", gpath.String(o.Path), o.Old, o.New, c.Revision, len(c.Desired))
	}
	return nil
}

func (r *recorder) Restore(_ context.Context, s owner.Snapshot) []error {
	r.note("restore %d objects at %d", len(s.Objects), s.Revision)
	return nil
}

// script is a configuration service that plays one conversation and keeps the owner's answers.
type script struct {
	configv1.UnimplementedConfigServer
	send    []*configv1.AttachResponse
	answers chan *configv1.AttachRequest
	dropped chan struct{}
}

func (s *script) Attach(stream grpc.BidiStreamingServer[configv1.AttachRequest, configv1.AttachResponse]) error {
	hello, err := stream.Recv()
	if err != nil {
		return err
	}
	s.answers <- hello
	for _, m := range s.send {
		if err := stream.Send(m); err != nil {
			return err
		}
		if m.GetAbort() != nil || m.GetSnapshot() != nil && !m.GetSnapshot().GetLast() {
			continue
		}
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		s.answers <- answer
	}
	select {
	case <-s.dropped:
		return nil
	case <-stream.Context().Done():
		return nil
	}
}

func subtree(path, json string) *configv1.Subtree {
	return &configv1.Subtree{Path: gpath.MustParse(path), Json: []byte(json)}
}

func snapshot(revision int64, last bool, subtrees ...*configv1.Subtree) *configv1.AttachResponse {
	return &configv1.AttachResponse{Message: &configv1.AttachResponse_Snapshot{Snapshot: &configv1.Snapshot{Revision: revision, Last: last, Subtrees: subtrees}}}
}

func prepare(id uint64, subtrees ...*configv1.Subtree) *configv1.AttachResponse {
	return &configv1.AttachResponse{Message: &configv1.AttachResponse_Prepare{Prepare: &configv1.Prepare{Transaction: id, Changes: subtrees}}}
}

func commit(id uint64, revision int64) *configv1.AttachResponse {
	return &configv1.AttachResponse{Message: &configv1.AttachResponse_Commit{Commit: &configv1.Commit{Transaction: id, Revision: revision}}}
}

func apply(id uint64, revision int64, subtrees ...*configv1.Subtree) *configv1.AttachResponse {
	return &configv1.AttachResponse{Message: &configv1.AttachResponse_Apply{Apply: &configv1.Apply{Transaction: id, Revision: revision, Changes: subtrees}}}
}

// serve runs a configuration service and returns a connection to it.
func serve(t *testing.T, config configv1.ConfigServer) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	configv1.RegisterConfigServer(server, config)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:test", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// play runs an owner against a script and returns the owner's answers after hello and restored.
func play(t *testing.T, h owner.Handler, send ...*configv1.AttachResponse) (*owner.Owner, []*configv1.AttachRequest) {
	t.Helper()
	s := &script{send: send, answers: make(chan *configv1.AttachRequest, 64), dropped: make(chan struct{})}
	conn := serve(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	o := owner.New([]string{"/objects/object[name=*]"}, h)
	token := func(context.Context) (uint64, error) { return 5, nil }
	go func() { _ = o.Run(ctx, slog.New(slog.DiscardHandler), conn, token) }()
	var answers []*configv1.AttachRequest
	expect := 1
	for _, m := range send {
		if m.GetAbort() == nil && (m.GetSnapshot() == nil || m.GetSnapshot().GetLast()) {
			expect++
		}
	}
	for range expect {
		select {
		case a := <-s.answers:
			answers = append(answers, a)
		case <-time.After(10 * time.Second):
			t.Fatalf("the owner answered %d of %d times", len(answers), expect)
		}
	}
	if h := answers[0].GetHello(); h.GetFencingToken() != 5 || len(h.GetPatterns()) != 1 {
		t.Errorf("hello is %v", h)
	}
	return o, answers[2:]
}

func TestTransaction(t *testing.T) {
	r := &recorder{}
	o, answers := play(t, r,
		snapshot(3, false, subtree("/objects/object[name=a]", `"1"`)),
		snapshot(3, true, subtree("/objects/object[name=b]", `"2"`)),
		prepare(9, subtree("/objects/object[name=a]", `"7"`), subtree("/objects/object[name=b]", "")),
		commit(9, 4),
		apply(10, 5, subtree("/objects/object[name=a]", "")),
	)
	want := []string{
		"restore 2 objects at 3",
		`/objects/object[name=a] "1"→"7" at 4 of 1`,
		`/objects/object[name=b] "2"→ at 4 of 1`,
		`/objects/object[name=a] "7"→ at 5 of 0`,
	}
	if got := r.seen(); !slices.Equal(got, want) {
		t.Errorf("the handler saw\n%q, want\n%q", got, want)
	}
	if a := answers[0].GetPrepared(); a.GetTransaction() != 9 || a.GetRefusal() != nil {
		t.Errorf("prepared: %v", a)
	}
	if a := answers[2].GetCommitted(); a.GetRevision() != 5 || a.GetFailure() != nil {
		t.Errorf("committed: %v", a)
	}
	if !o.Restored() || o.Revision() != 5 {
		t.Errorf("restored %t, revision %d", o.Restored(), o.Revision())
	}
}

func TestRefusalCarriesPathAndCode(t *testing.T) {
	_, answers := play(t, &recorder{}, snapshot(1, true), prepare(2, subtree("/objects/object[name=a]", `"bad"`)))
	r := answers[0].GetPrepared().GetRefusal()
	if codes.Code(r.GetCode()) != codes.InvalidArgument || gpath.String(r.GetPath()) != "/objects/object[name=a]" || r.GetReason() != "bad is bad" {
		t.Errorf("got %v", r)
	}
}

func TestAbortedChangeIsForgotten(t *testing.T) {
	r := &recorder{}
	abort := &configv1.AttachResponse{Message: &configv1.AttachResponse_Abort{Abort: &configv1.Abort{Transaction: 2}}}
	o, _ := play(t, r, snapshot(1, true), prepare(2, subtree("/objects/object[name=a]", `"1"`)), abort,
		prepare(3, subtree("/objects/object[name=b]", `"2"`)), commit(3, 2))
	if got := r.seen(); len(got) != 2 || o.Revision() != 2 {
		t.Errorf("the handler saw %q at revision %d", got, o.Revision())
	}
}

func TestFailedCommitIsToldAndNotKept(t *testing.T) {
	o, answers := play(t, &recorder{failed: true}, snapshot(1, true), prepare(2, subtree("/objects/object[name=a]", `"1"`)), commit(2, 2))
	f := answers[1].GetCommitted().GetFailure()
	if codes.Code(f.GetCode()) != codes.Internal || f.GetReason() != "the kernel said no" || o.Revision() != 1 {
		t.Errorf("failure %v at revision %d, want it told and the old revision", f, o.Revision())
	}
}
