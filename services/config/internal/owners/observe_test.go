// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"context"
	"testing"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// decisions plays Decisions: each number is a revision that changes one object; 0 stands for one too many.
type decisions chan int64

func (d decisions) Close() {}

func (d decisions) Next(ctx context.Context, patterns []*gnmi.Path) (int64, []*configv1.Subtree, error) {
	select {
	case revision := <-d:
		if revision == 0 {
			return 0, nil, ErrSlow
		}
		return revision, []*configv1.Subtree{{Path: patterns[0]}}, nil
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
}

func observing(patterns ...string) *configv1.AttachRequest {
	m := hello(0, patterns...)
	m.GetHello().Observe = true
	return m
}

// TestObserve: an observer beside the owner hears what comes after its snapshot, and answers to nobody.
func TestObserve(t *testing.T) {
	b := newBench(t)
	_, session := b.attach("rib", 7, "/routes")
	stream := b.say("rib", observing("/routes"))
	if m, err := stream.Recv(); err != nil || !m.GetSnapshot().GetLast() {
		t.Fatalf("got %v, %v; want the snapshot", m, err)
	}
	for _, revision := range []int64{6, 7, 8, 9} {
		b.hall.decisions <- revision
	}
	for _, want := range []int64{8, 9} {
		m, err := stream.Recv()
		if err != nil || m.GetApply().GetRevision() != want || gpath.String(m.GetApply().GetChanges()[0].GetPath()) != "/routes" {
			t.Errorf("got %v, %v; want the change of revision %d", m, err, want)
		}
	}
	if err := stream.Send(restored(7)); err != nil {
		t.Error(err)
	}
	if now, err := b.registry.Session(Declaration{Pattern: gpath.MustParse("/routes")}); err != nil || now != session {
		t.Errorf("the owner is not who it was: %v", err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	ending(stream)
}

func TestObserversEnd(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		desc string
		do   func()
		want codes.Code
	}{
		{"one that does not read", func() { b.hall.decisions <- 0 }, codes.ResourceExhausted},
		{"when the house is over", func() { close(b.hall.stopped) }, codes.Unavailable},
	} {
		stream := b.say("rib", observing("/routes"))
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		tt.do()
		if got := ending(stream); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.desc, got, tt.want)
		}
	}
	if got := ending(b.say("rib", observing("/unknown"))); got != codes.InvalidArgument {
		t.Errorf("a pattern the model lacks: %s, want InvalidArgument", got)
	}
	if d := b.registry.Declared().All; len(d) != 0 {
		t.Errorf("observers declared %v", d)
	}
}
