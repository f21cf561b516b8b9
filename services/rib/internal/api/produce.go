// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/netip"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	"github.com/ashlar-nos/ashlar/services/rib/internal/producer"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

const (
	// produceWindow is the greatest number of batches of a stream that wait for the dataplane. Then the
	// stream is not read: the producer feels it by flow control.
	produceWindow = 16
	// maxBatch is the greatest number of routes and withdrawals in one batch.
	maxBatch = 1 << 16
)

type produceStream = grpc.BidiStreamingServer[ribv1.ProduceRequest, ribv1.ProduceResponse]

// pending is a batch that waits for the dataplane's decision.
type pending struct {
	sequence uint64
	mark     uint64
	prefixes []netip.Prefix
	failures []*ribv1.Failure
}

// errMoving ends streams while the right to program moves to another process.
var errMoving = status.Error(codes.Unavailable, "the routing table is handed over to another process: connect again and repeat the routes")

// Produce implements the contract.
func (s *Server) Produce(stream produceStream) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	moving, leave, ok := s.produce.enter()
	if !ok {
		return errMoving
	}
	defer leave()
	session, err := s.open(stream, first.GetOpen())
	if err != nil {
		return err
	}
	defer session.Close()
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	waiting := make(chan pending, produceWindow)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.acknowledge(ctx, stream, waiting); err != nil {
			cancel(err)
		}
	}()
	go func() {
		select {
		case <-moving:
			cancel(errMoving)
		case <-session.Replaced():
			cancel(status.Error(codes.Aborted, producer.ErrReplaced.Error()))
		case <-ctx.Done():
		}
	}()
	received := make(chan error, 1)
	go func() { // Recv cannot be interrupted but by the stream's end, which returning brings
		received <- s.receive(ctx, stream, session, waiting)
	}()
	select {
	case err = <-received:
		close(waiting)
		<-done // everything received is answered before the stream ends
	case <-ctx.Done():
		err = context.Cause(ctx)
		<-done
	}
	if cause := context.Cause(ctx); err == nil && cause != nil {
		err = cause
	}
	return err
}

func (s *Server) open(stream produceStream, open *ribv1.Open) (*producer.Session, error) {
	if open == nil {
		return nil, status.Error(codes.InvalidArgument, "want open first")
	}
	if d := open.GetDistance(); d < 1 || d > maxDistance {
		return nil, status.Errorf(codes.InvalidArgument, "distance %d: want 1 to %d", d, maxDistance)
	}
	component := s.Component(stream.Context())
	session, synced, err := s.Producers.Open(open.GetProducer(), component, open.GetGeneration(), uint8(open.GetDistance()))
	switch {
	case errors.Is(err, producer.ErrName):
		return nil, status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, producer.ErrStale):
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, producer.ErrFull):
		return nil, status.Error(codes.ResourceExhausted, err.Error())
	case err != nil:
		return nil, status.Error(codes.Internal, err.Error())
	}
	opened := &ribv1.Opened{Generation: synced}
	if err := stream.Send(&ribv1.ProduceResponse{Message: &ribv1.ProduceResponse_Opened{Opened: opened}}); err != nil {
		session.Close()
		return nil, err
	}
	return session, nil
}

// receive applies what the producer sends until the stream ends.
func (s *Server) receive(ctx context.Context, stream produceStream, session *producer.Session, waiting chan<- pending) error {
	last := uint64(0)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p, err := s.apply(session, m)
		if err != nil {
			return err
		}
		if last != 0 && p.sequence != last+1 {
			return status.Errorf(codes.InvalidArgument, "batch %d follows batch %d", p.sequence, last)
		}
		last = p.sequence
		select {
		case waiting <- p:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *Server) apply(session *producer.Session, m *ribv1.ProduceRequest) (p pending, err error) {
	switch {
	case m.GetBatch() != nil:
		p, err = s.batch(session, m.GetBatch())
	case m.GetEndOfSync() != nil:
		p.sequence = m.GetEndOfSync().GetSequence()
		p.mark, err = session.EndOfSync()
	default:
		return p, status.Errorf(codes.InvalidArgument, "%T is not for the middle of a stream", m.GetMessage())
	}
	if errors.Is(err, producer.ErrReplaced) {
		err = status.Error(codes.Aborted, err.Error())
	}
	return p, err
}

func (s *Server) batch(session *producer.Session, b *ribv1.Batch) (pending, error) {
	p := pending{sequence: b.GetSequence()}
	if n := len(b.GetRoutes()) + len(b.GetWithdrawn()); n > maxBatch {
		return p, status.Errorf(codes.ResourceExhausted, "%d routes in one batch: the limit is %d", n, maxBatch)
	}
	routes := make([]producer.Route, 0, len(b.GetRoutes()))
	for _, w := range b.GetRoutes() {
		r, err := routeOf(w)
		if err != nil {
			p.fail(w.GetPrefix(), codes.InvalidArgument, err.Error())
			continue
		}
		routes = append(routes, r)
		p.prefixes = append(p.prefixes, r.Prefix)
	}
	var withdrawn []netip.Prefix
	for _, w := range b.GetWithdrawn() {
		prefix, err := prefixOf(w)
		if err != nil {
			p.fail(w, codes.InvalidArgument, err.Error())
			continue
		}
		withdrawn = append(withdrawn, prefix)
	}
	mark, failures, err := session.Apply(routes, withdrawn)
	p.mark = mark
	for _, f := range failures {
		p.fail(wirePrefix(f.Prefix), codes.ResourceExhausted, f.Err.Error())
	}
	return p, err
}

func (p *pending) fail(prefix *ribv1.Prefix, code codes.Code, reason string) {
	p.failures = append(p.failures, &ribv1.Failure{Prefix: prefix, Reason: reason, Code: int32(code)})
}

// acknowledge answers batches in order once the dataplane has decided about them, several at once when it
// was quick. It returns nil when the stream is over for a reason known elsewhere.
func (s *Server) acknowledge(ctx context.Context, stream produceStream, waiting <-chan pending) error {
	p, ok := receive(ctx, waiting)
	for ok {
		if s.RIB.Settled(ctx, p.mark) != nil {
			return nil
		}
		out := &ribv1.Acknowledged{}
		s.report(out, p)
		ok = false
		for next := range ready(waiting) {
			if p, ok = next, !s.settled(next.mark); ok {
				break
			}
			s.report(out, next)
		}
		if err := stream.Send(&ribv1.ProduceResponse{Message: &ribv1.ProduceResponse_Acknowledged{Acknowledged: out}}); err != nil {
			return err
		}
		if !ok {
			p, ok = receive(ctx, waiting)
		}
	}
	return nil
}

// receive waits for the next batch; false at the end of either.
func receive(ctx context.Context, waiting <-chan pending) (p pending, ok bool) {
	select {
	case p, ok = <-waiting:
		return p, ok
	case <-ctx.Done():
		return p, false
	}
}

// ready iterates over what a channel holds now.
func ready(c <-chan pending) iter.Seq[pending] {
	return func(yield func(pending) bool) {
		for {
			select {
			case p, ok := <-c:
				if !ok || !yield(p) {
					return
				}
			default:
				return
			}
		}
	}
}

func (s *Server) settled(mark uint64) (ok bool) {
	s.RIB.View(func(t *table.Table) { ok = t.Outbox().Settled() >= mark })
	return ok
}

// report adds a decided batch to an acknowledgement: what the dataplane refused, and what cannot be used
// because nothing reaches its next hops, is told; the route itself is kept and tried again.
func (s *Server) report(out *ribv1.Acknowledged, p pending) {
	s.RIB.View(func(t *table.Table) {
		for _, prefix := range p.prefixes {
			if r, undone := t.Undone(prefix); undone {
				p.fail(wirePrefix(prefix), codes.Code(r.Code), r.Reason)
			}
		}
	})
	out.Sequence = p.sequence
	out.Failures = append(out.Failures, p.failures...)
}
