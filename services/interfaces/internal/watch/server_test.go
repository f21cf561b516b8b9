// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	interfacesv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/reconcile"
)

// stream hands each message to the test, which so decides how slow a reader it is.
type stream struct {
	grpc.ServerStream
	ctx context.Context
	out chan *interfacesv1.WatchResponse
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) Send(m *interfacesv1.WatchResponse) error {
	select {
	case s.out <- m:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func open(t *testing.T, s *Server) (*stream, <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	st, ended := &stream{ctx: ctx, out: make(chan *interfacesv1.WatchResponse)}, make(chan error, 1)
	go func() { ended <- s.Watch(nil, st) }()
	t.Cleanup(cancel)
	return st, ended
}

func view(name string, mtu int) *reconcile.View {
	return &reconcile.View{Intent: intent.Interface{Name: name, MTU: mtu}}
}

func TestNothingIsSaidBeforeTheConfigurationArrived(t *testing.T) {
	s := New()
	st, _ := open(t, s)
	select {
	case m := <-st.out:
		t.Errorf("sent %v", m)
	default:
	}
	s.Tell("ge0", view("ge0", 1))
	s.Complete()
	if m := <-st.out; m.GetInterface().GetName() != "ge0" {
		t.Errorf("sent %v", m)
	}
	if m := <-st.out; m.GetSynced() == nil {
		t.Errorf("sent %v", m)
	}
}

func TestSlowReaderGetsTheNewestState(t *testing.T) {
	s := New()
	s.Complete()
	st, _ := open(t, s)
	if m := <-st.out; m.GetSynced() == nil {
		t.Fatalf("sent %v", m)
	}
	for n := 1; n <= 10_000; n++ {
		s.Tell("ge0", view("ge0", n))
		s.Tell(fmt.Sprintf("ge%d", 1+n%3), view("x", n))
	}
	s.Tell("ge1", nil)
	seen := 0
	for newest, gone := false, false; !newest || !gone; seen++ {
		m := <-st.out
		newest = newest || m.GetInterface().GetMtu() == 10_000
		gone = gone || m.GetRemoved() == "ge1"
	}
	// One batch may be under way when the storm begins.
	if seen > 8 {
		t.Errorf("%d messages for 4 interfaces", seen)
	}
}

func TestUnchangedIsNotSaidAgain(t *testing.T) {
	s := New()
	s.Complete()
	st, _ := open(t, s)
	<-st.out
	s.Tell("ge0", view("ge0", 1))
	<-st.out
	s.Tell("ge0", view("ge0", 1))
	s.Tell("ge1", view("ge1", 1))
	if m := <-st.out; m.GetInterface().GetName() != "ge1" {
		t.Errorf("sent %v", m)
	}
}

func TestCloseEndsStreams(t *testing.T) {
	s := New()
	_, ended := open(t, s)
	s.Close()
	s.Close()
	if err := <-ended; status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if len(s.readers) != 0 {
		t.Error("a reader is left")
	}
}

func TestAnInterfaceSaysWhyItIsNotUp(t *testing.T) {
	link := func(up, carrier bool) *reconcile.View {
		v := view("ge0", 1500)
		v.Present, v.Intent.Enabled = true, true
		v.State.Link.Up, v.State.Link.Carrier, v.State.Link.CarrierChanges = up, carrier, 3
		return v
	}
	disabled := link(false, false)
	disabled.Intent.Enabled = false
	for _, test := range []struct {
		desc, reason string
		changes      uint32
		view         *reconcile.View
	}{
		{"no link", "there is no link of this name", 0, view("ge0", 1500)},
		{"disabled", "it is disabled by configuration", 3, disabled},
		{"down", "it is administratively down", 3, link(false, false)},
		{"no carrier", "it has no carrier", 3, link(true, false)},
		{"up", "", 3, link(true, true)},
	} {
		if got := wire(test.view); got.GetReason() != test.reason || got.GetCarrierChanges() != test.changes {
			t.Errorf("%s: reason %q after %d changes, want %q after %d", test.desc, got.GetReason(), got.GetCarrierChanges(), test.reason, test.changes)
		}
	}
}
