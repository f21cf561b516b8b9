// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owner_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
)

// onlooker is a recorder that also observes.
type onlooker struct{ recorder }

func (o *onlooker) Observe(_ context.Context, s owner.Snapshot) {
	o.note("observe %d objects at %d", len(s.Objects), s.Revision)
}

// house sends observers a snapshot and two changes, and owners a snapshot.
type house struct {
	configv1.UnimplementedConfigServer
	answers chan *configv1.AttachRequest
}

func (h *house) Attach(stream grpc.BidiStreamingServer[configv1.AttachRequest, configv1.AttachResponse]) error {
	hello, err := stream.Recv()
	if err != nil {
		return err
	}
	h.answers <- hello
	send := []*configv1.AttachResponse{snapshot(3, true, subtree("/objects/object[name=a]", `"1"`))}
	if hello.GetHello().GetObserve() {
		send = append(send, apply(1, 4, subtree("/objects/object[name=b]", `"2"`)),
			apply(2, 5, subtree("/objects/object[name=a]", ""), subtree("/objects/object[name=b]", "")))
	}
	for _, m := range send {
		if err := stream.Send(m); err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		h.answers <- answer
	}
	<-stream.Context().Done()
	return nil
}

func (h *house) next(t *testing.T) *configv1.AttachRequest {
	t.Helper()
	select {
	case a := <-h.answers:
		return a
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
		return nil
	}
}

func TestObserverFollowsUntilTheToken(t *testing.T) {
	h := &house{answers: make(chan *configv1.AttachRequest, 64)}
	conn := serve(t, h)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	active := make(chan struct{})
	token := func(ctx context.Context) (uint64, error) {
		select {
		case <-active:
			return 5, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	handler := &onlooker{}
	o := owner.New([]string{"/objects/object[name=*]"}, handler)
	go func() { _ = o.Run(ctx, slog.New(slog.DiscardHandler), conn, token) }()

	if hello := h.next(t).GetHello(); !hello.GetObserve() || hello.GetFencingToken() != 0 || len(hello.GetPatterns()) != 1 {
		t.Errorf("the observer's hello is %v", hello)
	}
	if a := h.next(t).GetRestored(); a.GetRevision() != 3 {
		t.Errorf("the snapshot was answered with %v", a)
	}
	for _, revision := range []int64{4, 5} {
		if a := h.next(t).GetCommitted(); a.GetRevision() != revision || a.GetFailure() != nil {
			t.Errorf("the change to %d was answered with %v", revision, a)
		}
	}
	if o.Restored() {
		t.Error("an observer counts as restored")
	}
	close(active)
	if hello := h.next(t).GetHello(); hello.GetObserve() || hello.GetFencingToken() != 5 {
		t.Errorf("the owner's hello is %v", hello)
	}
	h.next(t)
	want := []string{"observe 1 objects at 3", "observe 2 objects at 4", "observe 0 objects at 5", "restore 1 objects at 3"}
	if got := handler.seen(); !slices.Equal(got, want) {
		t.Errorf("the handler saw\n%q, want\n%q", got, want)
	}
}
