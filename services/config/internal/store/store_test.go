// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

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
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"github.com/ashlar-nos/ashlar/services/config/internal/statetest"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// open returns a loaded store with a token.
func open(t *testing.T, state *statetest.Store, token uint64) (*Store, Contents) {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	statev1.RegisterStateServer(s, state)
	go func() { _ = s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256<<20)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); s.Stop() })
	out := New(conn, func(context.Context) (uint64, error) { return token, nil }, slog.New(slog.NewTextHandler(io.Discard, nil)))
	contents, err := out.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out, contents
}

func revision(n int64, owners []string, changes ...Change) Revision {
	return Revision{Number: n, Time: time.Unix(1e9, 0), User: "mason", Owners: owners, Changes: changes}
}

func change(path, old, now string) Change {
	return Change{Path: gpath.MustParse(path), Old: []byte(old), New: []byte(now)}
}

func TestPendingIsFoundAgain(t *testing.T) {
	state := statetest.New()
	first, contents := open(t, state, 1)
	if contents.Revision != 0 || contents.Pending != nil {
		t.Errorf("an empty store holds %+v", contents)
	}
	must(t, first.Commit(t.Context(), revision(1, nil, change("/a[k=1]", "", "1"))))
	must(t, first.SaveOwners(t.Context(), map[string][]*gnmi.Path{"rib": {gpath.MustParse("/a[k=*]")}}, nil))
	must(t, first.Commit(t.Context(), revision(2, []string{"rib"}, change("/a[k=1]", "1", ""), change("/a[k=2]", "", "2"))))
	second, contents := open(t, state, 2)
	if len(contents.Objects) != 1 || gpath.String(contents.Objects[0].Path) != "/a[k=2]" || len(contents.Owners["rib"]) != 1 {
		t.Errorf("found %+v", contents)
	}
	p := contents.Pending
	if p == nil || p.Number != 2 || p.User != "mason" || fmt.Sprint(p.Owners) != "[rib]" || string(p.Changes[0].New) != "1" || len(p.Changes[1].New) != 0 {
		t.Fatalf("pending is %+v", p)
	}
	must(t, second.ClearPending(t.Context()))
	if _, contents = open(t, state, 3); contents.Pending != nil || contents.Revision != 2 {
		t.Errorf("after the mark was cleared: %+v", contents)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOldProcessIsFencedOff(t *testing.T) {
	state := statetest.New()
	old, _ := open(t, state, 1)
	open(t, state, 2)
	if err := old.Commit(t.Context(), revision(1, nil, change("/a", "", "1"))); !errors.Is(err, ErrLost) {
		t.Errorf("a commit by the old process: %v, want %v", err, ErrLost)
	}
}

func TestHeadMovedByAnother(t *testing.T) {
	state := statetest.New()
	one, _ := open(t, state, 1)
	other, _ := open(t, state, 1)
	must(t, other.Commit(t.Context(), revision(1, nil, change("/a", "", "1"))))
	if err := one.Commit(t.Context(), revision(1, nil, change("/a", "", "2"))); !errors.Is(err, ErrLost) {
		t.Errorf("a commit on an old head: %v, want %v", err, ErrLost)
	}
}

func TestLostAnswers(t *testing.T) {
	state := statetest.New()
	s, _ := open(t, state, 1)
	var lost int
	state.Fail(nil, func(*statev1.TransactRequest) error {
		if lost++; lost < 4 {
			return status.Error(codes.Unavailable, "lost")
		}
		return nil
	})
	must(t, s.Commit(t.Context(), revision(1, nil, change("/a", "", "1"))))
	must(t, s.Commit(t.Context(), revision(2, nil, change("/a", "1", "2"))))
	if s.Revision() != 2 || len(state.Keys(revisionTable)) != 2 {
		t.Errorf("revision %d, records %v", s.Revision(), state.Keys(revisionTable))
	}
	// Never an answer: the process cannot know, and must say so.
	state.Fail(nil, func(*statev1.TransactRequest) error { return status.Error(codes.Unavailable, "lost") })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.Commit(ctx, revision(3, nil, change("/a", "2", "3"))); !errors.Is(err, ErrLost) {
		t.Errorf("a commit without an answer: %v, want %v", err, ErrLost)
	}
}

func TestUnreachable(t *testing.T) {
	conn, err := grpc.NewClient("unix:///nonexistent/state.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer conn.Close()
	s := New(conn, func(context.Context) (uint64, error) { return 1, nil }, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err := s.Commit(t.Context(), revision(1, nil, change("/a", "", "1"))); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a commit to nobody: %v, want %v", err, ErrUnavailable)
	}
	if s.sequence != 0 {
		t.Error("a sequence number was used up by what was never sent")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	state := statetest.New()
	s, _ := open(t, state, 1)
	for n := range int64(KeptRevisions + 5) {
		must(t, s.Commit(t.Context(), revision(n+1, nil, change("/a", fmt.Sprint(n), fmt.Sprint(n+1)))))
	}
	if kept := state.Keys(revisionTable); len(kept) != KeptRevisions || kept[0] != revisionKey(6) {
		t.Errorf("%d records are kept from %s", len(kept), kept[0])
	}
	// A successor goes on counting, and size counts too.
	s, _ = open(t, state, 2)
	large := strings.Repeat("x", keptBytes/4)
	for n := int64(KeptRevisions + 6); n < KeptRevisions+16; n++ {
		must(t, s.Commit(t.Context(), revision(n, nil, Change{Path: gpath.MustParse("/a"), Old: []byte(large)})))
	}
	if kept := state.Keys(revisionTable); len(kept) != 3 {
		t.Errorf("%d large records are kept", len(kept))
	}
}

func TestLongKeys(t *testing.T) {
	long := "/a[k=" + strings.Repeat("x", 2000) + "]"
	a, b := objectKey(gpath.MustParse(long+"/b")), objectKey(gpath.MustParse(long+"/c"))
	if len(a) > 1024 || a == b {
		t.Errorf("keys of %d bytes, equal: %t", len(a), a == b)
	}
}
