// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"context"
	"fmt"
	"sync"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
)

// outbox is how many messages may wait for an owner's stream. One transaction has at most three on the
// way, so a full outbox means an owner that does not read.
const outbox = 16

// Session is one attachment of an owner, from its hello to the end of its stream.
type Session struct {
	component string
	token     uint64
	// Revision of the snapshot the session began with.
	revision int64
	failures []*Refusal

	send chan *configv1.AttachResponse
	// ended is closed when the session is over; cause says why.
	ended chan struct{}
	once  sync.Once
	cause error

	mu      sync.Mutex
	waiting map[answer]chan *configv1.Refusal
}

// answer names what is waited for.
type answer struct {
	transaction uint64
	committed   bool
}

func newSession(component string, token uint64) *Session {
	return &Session{
		component: component,
		token:     token,
		send:      make(chan *configv1.AttachResponse, outbox),
		ended:     make(chan struct{}),
		waiting:   map[answer]chan *configv1.Refusal{},
	}
}

// Component is the owner's name.
func (s *Session) Component() string { return s.component }

// Revision of the snapshot that the owner restored when it attached.
func (s *Session) Revision() int64 { return s.revision }

// Failures are what the owner could not restore of its snapshot.
func (s *Session) Failures() []*Refusal { return s.failures }

// Prepare asks whether the owner can make the changes. The error is a *Refusal, or wraps ErrAway or the
// context's.
func (s *Session) Prepare(ctx context.Context, transaction uint64, base int64, changes []*configv1.Subtree) error {
	message := &configv1.AttachResponse{Message: &configv1.AttachResponse_Prepare{
		Prepare: &configv1.Prepare{Transaction: transaction, BaseRevision: base, Changes: changes},
	}}
	return s.ask(ctx, message, answer{transaction: transaction})
}

// Commit tells the owner to make what it prepared effective and waits until it is. Errors as in Prepare.
func (s *Session) Commit(ctx context.Context, transaction uint64, revision int64) error {
	message := &configv1.AttachResponse{Message: &configv1.AttachResponse_Commit{
		Commit: &configv1.Commit{Transaction: transaction, Revision: revision},
	}}
	return s.ask(ctx, message, answer{transaction: transaction, committed: true})
}

// Apply tells the owner changes that are decided and waits until they are in effect. Errors as in Prepare.
func (s *Session) Apply(ctx context.Context, transaction uint64, revision int64, changes []*configv1.Subtree) error {
	message := &configv1.AttachResponse{Message: &configv1.AttachResponse_Apply{
		Apply: &configv1.Apply{Transaction: transaction, Revision: revision, Changes: changes},
	}}
	return s.ask(ctx, message, answer{transaction: transaction, committed: true})
}

// Abort tells the owner to forget what it prepared. An owner that does not read loses its session.
func (s *Session) Abort(transaction uint64) {
	message := &configv1.AttachResponse{Message: &configv1.AttachResponse_Abort{
		Abort: &configv1.Abort{Transaction: transaction},
	}}
	select {
	case s.send <- message:
	case <-s.ended:
	default:
		s.end(fmt.Errorf("%w: %s does not read its stream", ErrAway, s.component))
	}
}

// ask sends a message and waits for its answer.
func (s *Session) ask(ctx context.Context, message *configv1.AttachResponse, key answer) error {
	replied := make(chan *configv1.Refusal, 1)
	s.mu.Lock()
	s.waiting[key] = replied
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, key)
		s.mu.Unlock()
	}()
	select {
	case s.send <- message:
	case <-s.ended:
		return s.cause
	case <-ctx.Done():
		return fmt.Errorf("%s does not read its stream: %w", s.component, ctx.Err())
	}
	select {
	case refusal := <-replied:
		return s.refusal(refusal)
	case <-s.ended:
		return s.cause
	case <-ctx.Done():
		return fmt.Errorf("no answer from %s: %w", s.component, ctx.Err())
	}
}

// reply hands an answer to whoever waits; a late one is dropped.
func (s *Session) reply(key answer, refusal *configv1.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if replied, ok := s.waiting[key]; ok {
		delete(s.waiting, key)
		replied <- refusal
	}
}

// refusal converts the wire's; a nil stays a nil error. A code that is no error would turn a no into a yes.
func (s *Session) refusal(wire *configv1.Refusal) error {
	if wire == nil {
		return nil
	}
	return newRefusal(s.component, wire)
}

func newRefusal(component string, wire *configv1.Refusal) *Refusal {
	code := codes.Code(wire.GetCode())
	if code == codes.OK || code > codes.Unauthenticated {
		code = codes.Internal
	}
	path := wire.GetPath()
	if path == nil {
		path = &gnmi.Path{}
	}
	return &Refusal{Owner: component, Path: path, Reason: wire.GetReason(), Code: code}
}

// End breaks the session off; the owner attaches again and begins with a snapshot.
func (s *Session) End(reason string) {
	s.end(fmt.Errorf("%w: %s: %s", ErrAway, s.component, reason))
}

// over reports whether the session has ended.
func (s *Session) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// end finishes the session once.
func (s *Session) end(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.ended)
	})
}
