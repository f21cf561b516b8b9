// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"google.golang.org/grpc"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/retry"
)

// Run attaches to the configuration service and answers it, again whenever the stream ends, until ctx does.
// token gives the component's fencing token and blocks until there is one; an Observer follows the configuration
// meanwhile.
func (o *Owner) Run(ctx context.Context, log *slog.Logger, conn grpc.ClientConnInterface, token func(context.Context) (uint64, error)) error {
	client := configv1.NewConfigClient(conn)
	o.observe(ctx, log, client, token)
	return retry.Forever(ctx, log, "attach to the configuration", func(ctx context.Context) error {
		fence, err := token(ctx)
		if err != nil {
			return err
		}
		return o.attach(ctx, log, client, fence)
	})
}

type stream = grpc.BidiStreamingClient[configv1.AttachRequest, configv1.AttachResponse]

// session is one attachment. prepared is the change that was accepted and waits for its decision.
type session struct {
	owner    *Owner
	log      *slog.Logger
	stream   stream
	prepared map[uint64]Change
}

func (o *Owner) attach(ctx context.Context, log *slog.Logger, client configv1.ConfigClient, fence uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := o.hello(ctx, client, &configv1.Hello{Patterns: o.patterns, FencingToken: fence})
	if err != nil {
		return err
	}
	s := &session{owner: o, log: log, stream: st, prepared: map[uint64]Change{}}
	defer s.giveUp()
	if err := s.restore(ctx); err != nil {
		return err
	}
	for {
		m, err := st.Recv()
		if err != nil {
			return err
		}
		if err := s.handle(ctx, m); err != nil {
			return err
		}
	}
}

// hello opens a stream.
func (o *Owner) hello(ctx context.Context, client configv1.ConfigClient, hello *configv1.Hello) (stream, error) {
	st, err := client.Attach(ctx)
	if err != nil {
		return nil, err
	}
	if err := st.Send(&configv1.AttachRequest{Message: &configv1.AttachRequest_Hello{Hello: hello}}); err != nil {
		return nil, receiveError(st, err)
	}
	return st, nil
}

// receiveError finds out why the stream broke: Send says only that it did.
func receiveError(st stream, sendErr error) error {
	if _, err := st.Recv(); err != nil {
		return err
	}
	return sendErr
}

// giveUp ends the transactions that nobody will decide any more.
func (s *session) giveUp() {
	for range s.prepared {
		s.owner.turns.end()
	}
}

// restore takes the snapshot and puts it into effect.
func (s *session) restore(ctx context.Context) error {
	snapshot, err := s.owner.snapshot(s.stream)
	if err != nil {
		return err
	}
	if err := s.owner.turns.begin(ctx); err != nil {
		return err
	}
	defer s.owner.turns.end()
	failures := s.owner.handler.Restore(ctx, snapshot)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.owner.restore(snapshot, failures)
	answer := &configv1.Restored{Revision: snapshot.Revision}
	for _, err := range failures {
		s.log.Warn("configuration is not in effect", "error", err)
		answer.Failures = append(answer.Failures, wireRefusal(err))
	}
	return s.stream.Send(&configv1.AttachRequest{Message: &configv1.AttachRequest_Restored{Restored: answer}})
}

// snapshot takes the parts of the whole state, with which a stream begins.
func (o *Owner) snapshot(st stream) (Snapshot, error) {
	snapshot := Snapshot{Objects: map[string]Object{}}
	for last := false; !last; {
		m, err := st.Recv()
		if err != nil {
			return snapshot, err
		}
		part := m.GetSnapshot()
		if part == nil {
			return snapshot, fmt.Errorf("the configuration service sent %T before the snapshot's end", m.GetMessage())
		}
		for _, sub := range part.GetSubtrees() {
			object, err := o.object(sub)
			if err != nil {
				return snapshot, err
			}
			snapshot.Objects[gpath.String(sub.GetPath())] = object
		}
		snapshot.Revision, last = part.GetRevision(), part.GetLast()
	}
	return snapshot, nil
}

func (o *Owner) restore(s Snapshot, failures []error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.desired, o.revision, o.restored, o.failures = s.Objects, s.Revision, true, failures
}

func (s *session) handle(ctx context.Context, m *configv1.AttachResponse) error {
	switch {
	case m.GetPrepare() != nil:
		return s.prepare(ctx, m.GetPrepare())
	case m.GetCommit() != nil:
		c, ok := s.prepared[m.GetCommit().GetTransaction()]
		if !ok {
			return errors.New("the configuration service commits a transaction that was not prepared here")
		}
		defer s.owner.turns.end()
		delete(s.prepared, m.GetCommit().GetTransaction())
		c.Revision = m.GetCommit().GetRevision()
		return s.commit(ctx, m.GetCommit().GetTransaction(), c)
	case m.GetApply() != nil:
		a := m.GetApply()
		if err := s.owner.turns.begin(ctx); err != nil {
			return err
		}
		defer s.owner.turns.end()
		c, err := s.owner.change(a.GetRevision(), a.GetChanges())
		if err != nil {
			return err
		}
		return s.commit(ctx, a.GetTransaction(), c)
	case m.GetAbort() != nil:
		if _, ok := s.prepared[m.GetAbort().GetTransaction()]; ok {
			delete(s.prepared, m.GetAbort().GetTransaction())
			s.owner.turns.end()
		}
		return nil
	}
	return fmt.Errorf("the configuration service sent %T, which this version does not know", m.GetMessage())
}

func (s *session) prepare(ctx context.Context, p *configv1.Prepare) error {
	if err := s.owner.turns.begin(ctx); err != nil {
		return err
	}
	c, err := s.owner.change(0, p.GetChanges())
	if err == nil {
		err = s.owner.handler.Prepare(ctx, c)
	}
	if err == nil {
		s.prepared[p.GetTransaction()] = c
	} else {
		s.owner.turns.end()
	}
	answer := &configv1.Prepared{Transaction: p.GetTransaction(), Refusal: wireRefusal(err)}
	return s.stream.Send(&configv1.AttachRequest{Message: &configv1.AttachRequest_Prepared{Prepared: answer}})
}

func (s *session) commit(ctx context.Context, transaction uint64, c Change) error {
	err := s.owner.handler.Commit(ctx, c)
	if err == nil {
		s.owner.settle(c)
	} else {
		s.log.Warn("a committed change is not in effect", "revision", c.Revision, "error", err)
	}
	answer := &configv1.Committed{Transaction: transaction, Revision: c.Revision, Failure: wireRefusal(err)}
	return s.stream.Send(&configv1.AttachRequest{Message: &configv1.AttachRequest_Committed{Committed: answer}})
}
