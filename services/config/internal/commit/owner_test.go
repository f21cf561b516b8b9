// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"maps"
	"sync"
	"testing"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// stone is an owner that plays by the contract with its bare hands: what it has in effect is a map that
// outlives its streams, as a kernel would. A test may let it refuse, be silent, or lose its stream.
type stone struct {
	t        testing.TB
	patterns []*pb.Path

	mu sync.Mutex
	// kernel is what is in effect.
	kernel map[string]string
	// reject answers a prepare or a commit with a refusal; mute answers nothing.
	rejectPrepare, rejectCommit *configv1.Refusal
	// rejectRestore is what it fails of a snapshot, once.
	rejectRestore *configv1.Refusal
	mute          bool
	// onPrepare is called instead of an answer to the next prepare.
	onPrepare func()
	// prepared counts the questions.
	prepared, aborted int
	restores          int
	cut               context.CancelFunc
	stay              chan struct{}
}

func newStone(t testing.TB, patterns ...string) *stone {
	s := &stone{t: t, kernel: map[string]string{}}
	for _, p := range patterns {
		s.patterns = append(s.patterns, gpath.MustParse(p))
	}
	return s
}

// attach runs the owner against a configuration service until ctx ends; a stream that breaks is replaced
// unless the owner was told to stay away.
func (s *stone) attach(ctx context.Context, conn grpc.ClientConnInterface) {
	for ctx.Err() == nil {
		stay := s.session(ctx, conn)
		if stay != nil {
			select {
			case <-stay:
			case <-ctx.Done():
			}
		}
	}
}

// leave cuts the stream. away keeps the owner away until the returned function is called.
func (s *stone) leave(away bool) (back func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	back = func() {}
	if away {
		stay := make(chan struct{})
		s.stay = stay
		back = sync.OnceFunc(func() {
			s.mu.Lock()
			s.stay = nil
			s.mu.Unlock()
			close(stay)
		})
	}
	s.cut()
	return back
}

// session is one stream; it returns what to wait for before the next.
func (s *stone) session(ctx context.Context, conn grpc.ClientConnInterface) chan struct{} {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	s.mu.Lock()
	s.cut = cut
	s.mu.Unlock()
	stream, err := configv1.NewConfigClient(conn).Attach(ctx, grpc.WaitForReady(true))
	if err == nil {
		err = stream.Send(&configv1.AttachRequest{Message: &configv1.AttachRequest_Hello{
			Hello: &configv1.Hello{Patterns: s.patterns, FencingToken: 1},
		}})
	}
	pending := map[uint64][]*configv1.Subtree{}
	for snapshot := map[string]string{}; err == nil; {
		var m *configv1.AttachResponse
		if m, err = stream.Recv(); err != nil {
			break
		}
		if answer := s.answer(m, snapshot, pending); answer != nil {
			err = stream.Send(answer)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stay
}

// answer does what a message says and returns what to say to it.
func (s *stone) answer(m *configv1.AttachResponse, snapshot map[string]string, pending map[uint64][]*configv1.Subtree) *configv1.AttachRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case m.GetSnapshot() != nil:
		for _, subtree := range m.GetSnapshot().GetSubtrees() {
			snapshot[gpath.String(subtree.GetPath())] = string(subtree.GetJson())
		}
		if !m.GetSnapshot().GetLast() {
			return nil
		}
		s.kernel, s.restores = maps.Clone(snapshot), s.restores+1
		restored := &configv1.Restored{Revision: m.GetSnapshot().GetRevision()}
		if s.rejectRestore != nil {
			restored.Failures, s.rejectRestore = []*configv1.Refusal{s.rejectRestore}, nil
		}
		return &configv1.AttachRequest{Message: &configv1.AttachRequest_Restored{Restored: restored}}
	case m.GetPrepare() != nil:
		s.prepared++
		pending[m.GetPrepare().GetTransaction()] = m.GetPrepare().GetChanges()
		if s.mute {
			return nil
		}
		if instead := s.onPrepare; instead != nil {
			s.onPrepare = nil
			go instead()
			return nil
		}
		return &configv1.AttachRequest{Message: &configv1.AttachRequest_Prepared{
			Prepared: &configv1.Prepared{Transaction: m.GetPrepare().GetTransaction(), Refusal: s.rejectPrepare},
		}}
	case m.GetCommit() != nil:
		return s.settle(m.GetCommit().GetTransaction(), m.GetCommit().GetRevision(), pending[m.GetCommit().GetTransaction()])
	case m.GetApply() != nil:
		return s.settle(m.GetApply().GetTransaction(), m.GetApply().GetRevision(), m.GetApply().GetChanges())
	}
	s.aborted++
	return nil
}

func (s *stone) settle(transaction uint64, revision int64, changes []*configv1.Subtree) *configv1.AttachRequest {
	if s.mute {
		return nil
	}
	if s.rejectCommit == nil {
		for _, c := range changes {
			if s.kernel[gpath.String(c.GetPath())] = string(c.GetJson()); len(c.GetJson()) == 0 {
				delete(s.kernel, gpath.String(c.GetPath()))
			}
		}
	}
	answer := &configv1.Committed{Transaction: transaction, Revision: revision, Failure: s.rejectCommit}
	s.rejectCommit = nil
	return &configv1.AttachRequest{Message: &configv1.AttachRequest_Committed{Committed: answer}}
}

// has returns what is in effect at a path.
func (s *stone) has(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kernel[path]
}

func (s *stone) set(fn func(*stone)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(s)
}

func no(path string, code codes.Code, reason string) *configv1.Refusal {
	return &configv1.Refusal{Path: gpath.MustParse(path), Code: int32(code), Reason: reason}
}
