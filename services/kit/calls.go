// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errCut is why the context of a stream ends that a drain cuts.
var errCut = errors.New("the component is being replaced")

// calls knows what the component is being asked: how many unary calls are in flight, from the moment that their
// headers are read, and which streams are open. It can keep new calls waiting, refuse them, and cut streams.
type calls struct {
	component string

	monitor
	unary   int
	mode    mode
	streams map[*openStream]struct{}
}

type mode uint8

const (
	open mode = iota
	// held: calls that arrive wait.
	held
	// refused: calls that arrive or wait get UNAVAILABLE.
	refused
)

// openStream is a stream from its headers to its end.
type openStream struct {
	cancel  context.CancelCauseFunc
	lasting bool
}

func newCalls(component string) *calls {
	return &calls{component: component, streams: map[*openStream]struct{}{}}
}

// hold waits until no unary call is in flight and keeps those that arrive from then on waiting.
func (c *calls) hold(ctx context.Context) error {
	return c.until(ctx, func() bool { return c.unary == 0 }, func() { c.mode = held })
}

// end waits until no unary call is in flight, lets none begin any more and cuts the streams that do not last.
// When ctx ends before, it does so all the same.
func (c *calls) end(ctx context.Context) {
	// Those that wait since a freeze are in nobody's way: they have not begun.
	_ = c.until(ctx, func() bool { return c.unary == 0 || c.mode == held }, nothing)
	c.update(func() {
		c.mode = refused
		c.cut(false)
	})
}

// endAll cuts the lasting streams too, once ctx ends or they have ended by themselves.
func (c *calls) endAll(ctx context.Context) {
	_ = c.until(ctx, func() bool { return !c.anyLasting() }, nothing)
	c.update(func() { c.cut(true) })
}

func (c *calls) anyLasting() bool {
	for s := range c.streams {
		if s.lasting {
			return true
		}
	}
	return false
}

// cut ends streams. The lock is held.
func (c *calls) cut(lasting bool) {
	for s := range c.streams {
		if !s.lasting || lasting {
			s.cancel(errCut)
		}
	}
}

// release lets those who wait go on.
func (c *calls) release() {
	c.update(func() {
		if c.mode == held {
			c.mode = open
		}
	})
}

func (c *calls) inFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unary
}

func (c *calls) replaced() error {
	return status.Errorf(codes.Unavailable, "%s is being replaced: call again", c.component)
}

// ticket is a unary call from its headers to its answer, or until its client gives up before its handler has begun.
type ticket struct {
	once sync.Once
	// abandon stops watching for the client's giving up; false: it has.
	abandon func() bool
}

type ticketKey struct{}

// arrive counts a unary call whose headers have been read. It is called by the goroutine that reads the connection.
func (c *calls) arrive(ctx context.Context) context.Context {
	c.update(func() { c.unary++ })
	t := &ticket{}
	t.abandon = context.AfterFunc(ctx, func() { c.leave(t) })
	return context.WithValue(ctx, ticketKey{}, t)
}

func (c *calls) leave(t *ticket) { t.once.Do(func() { c.update(func() { c.unary-- }) }) }

// lastingKey finds the context that ends when a lasting stream is cut.
type lastingKey struct{}

// arriveStream gives a stream a context that ends when the stream is cut. That of a lasting one ends a little later: its
// client is to hear why, and gRPC answers by itself as soon as the context ends while a handler waits for a message.
func (c *calls) arriveStream(call context.Context, lasting bool) (context.Context, error) {
	s := &openStream{lasting: lasting}
	var ctx context.Context
	ctx, s.cancel = context.WithCancelCause(call)
	ok := true
	c.update(func() {
		if ok = c.mode != refused; ok {
			c.streams[s] = struct{}{}
		}
	})
	if !ok {
		s.cancel(errCut)
		return nil, c.replaced()
	}
	context.AfterFunc(ctx, func() { c.update(func() { delete(c.streams, s) }) })
	if lasting {
		return context.WithValue(call, lastingKey{}, ctx), nil
	}
	return ctx, nil
}

// admit keeps a call waiting while calls are held.
func (c *calls) admit(ctx context.Context) error {
	var now mode
	err := c.until(ctx, func() bool { return c.mode != held }, func() { now = c.mode })
	if err != nil {
		return status.FromContextError(err).Err()
	}
	if now == refused {
		return c.replaced()
	}
	return nil
}

func (c *calls) interceptUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	t, counted := ctx.Value(ticketKey{}).(*ticket)
	if !counted {
		return next(ctx, req)
	}
	if !t.abandon() {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	defer c.leave(t)
	if err := c.admit(ctx); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (c *calls) interceptStream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	err := c.admit(s.Context())
	if cut, lasting := s.Context().Value(lastingKey{}).(context.Context); lasting && err == nil {
		return c.last(cut, func() error { return next(srv, s) })
	}
	if err == nil {
		err = next(srv, s)
	}
	if err != nil && errors.Is(context.Cause(s.Context()), errCut) && ofContext(err) {
		return c.replaced()
	}
	return err
}

// last runs the handler of a lasting stream. When the stream is cut it answers the client at once; the handler's context
// ends with that.
func (c *calls) last(cut context.Context, handle func() error) error {
	done := make(chan error, 1)
	go func() { done <- handle() }()
	select {
	case err := <-done:
		return err
	case <-cut.Done():
	}
	if errors.Is(context.Cause(cut), errCut) {
		return c.replaced()
	}
	return <-done
}

// ofContext reports whether a handler's error says no more than that its context ended.
func ofContext(err error) bool {
	code := status.Code(err)
	return errors.Is(err, context.Canceled) || code == codes.Canceled || code == codes.Unknown
}
