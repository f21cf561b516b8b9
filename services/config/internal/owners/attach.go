// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

const (
	// helloLimit bounds the wait for the first message.
	helloLimit = 10 * time.Second
	// chunkBytes and chunkObjects bound one snapshot message.
	chunkBytes   = 1 << 20
	chunkObjects = 512
	// maxPatterns bounds what one owner may declare.
	maxPatterns = 256
)

// House is the commit's side of an attachment.
type House interface {
	// Ready blocks until the configuration is loaded and transactions may come. The streams end when over is closed:
	// from then on somebody else leads, or this process does after it has loaded again.
	Ready(ctx context.Context) (over <-chan struct{}, err error)
	// Check says whether the model knows a pattern.
	Check(pattern *gnmi.Path) error
	// Declare calls take while no commit is under way and stores what the registry declares after it. It
	// returns take's error; when storing fails it calls undo.
	Declare(ctx context.Context, take func() (undo func(), err error)) error
	// Snapshot returns the objects on the patterns as decided by the newest revision.
	Snapshot(patterns []*gnmi.Path) (revision int64, subtrees []*configv1.Subtree, err error)
	// Observe returns the decisions from now on. The caller closes them.
	Observe() Decisions
}

// Decisions are what was decided, in order.
type Decisions interface {
	// Next waits for the next decision and returns what it changes on the patterns; nothing is a change elsewhere.
	// The error is ErrSlow, or the context's.
	Next(ctx context.Context, patterns []*gnmi.Path) (revision int64, changes []*configv1.Subtree, err error)
	Close()
}

// Server serves ashlar.config.v1.
type Server struct {
	configv1.UnimplementedConfigServer
	registry *Registry
	house    House
	// caller names the component behind a call.
	caller func(context.Context) string
	log    *slog.Logger
}

// NewServer returns the server of a registry.
func NewServer(registry *Registry, house House, caller func(context.Context) string, log *slog.Logger) *Server {
	return &Server{registry: registry, house: house, caller: caller, log: log}
}

type stream = grpc.BidiStreamingServer[configv1.AttachRequest, configv1.AttachResponse]

// Attach implements the contract.
func (s *Server) Attach(st stream) error {
	ctx, cancel := context.WithCancel(st.Context())
	defer cancel()
	in := receive(ctx, st)
	hello, err := s.hello(ctx, in)
	if err != nil {
		return err
	}
	over, err := s.house.Ready(ctx)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	c := &conversation{Server: s, stream: st, in: in, over: over, patterns: hello.GetPatterns()}
	if hello.GetObserve() {
		return c.observe(ctx)
	}
	return c.own(ctx, newSession(s.caller(st.Context()), hello.GetFencingToken()))
}

// conversation is one stream after its hello.
type conversation struct {
	*Server
	stream   stream
	in       <-chan incoming
	over     <-chan struct{}
	patterns []*gnmi.Path
}

// errOver ends the streams when this process does not lead any more.
var errOver = status.Error(codes.Unavailable, "the configuration service is shutting down")

// own is the conversation with an owner.
func (c *conversation) own(ctx context.Context, session *Session) error {
	if err := c.hold(ctx, session); err != nil {
		return wireError(err)
	}
	defer c.registry.leave(session)
	defer session.end(fmt.Errorf("%w: the stream of %s ended", ErrAway, session.component))
	if err := c.restore(ctx, session); err != nil {
		return err
	}
	c.registry.serve(session)
	c.log.Info("owner attached", "owner", session.component, "revision", session.revision,
		"patterns", len(c.patterns), "failures", len(session.failures))
	err := c.converse(ctx, session)
	c.log.Info("owner left", "owner", session.component, "reason", err)
	return err
}

// incoming is what the receiving goroutine hands on.
type incoming struct {
	message *configv1.AttachRequest
	err     error
}

// receive reads the stream until it ends or ctx does.
func receive(ctx context.Context, st stream) <-chan incoming {
	in := make(chan incoming)
	go func() {
		for {
			message, err := st.Recv()
			select {
			case in <- incoming{message, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return in
}

// hello waits for the first message and checks it against the model.
func (s *Server) hello(ctx context.Context, in <-chan incoming) (*configv1.Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, helloLimit)
	defer cancel()
	first, err := next(ctx, in)
	if err != nil {
		return nil, err
	}
	hello := first.GetHello()
	if hello == nil {
		return nil, status.Error(codes.InvalidArgument, "the first message must be hello")
	}
	if n := len(hello.GetPatterns()); n == 0 || n > maxPatterns {
		return nil, status.Errorf(codes.InvalidArgument, "hello declares %d patterns; want 1 to %d", n, maxPatterns)
	}
	for i, p := range hello.GetPatterns() {
		if err := s.house.Check(p); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "pattern %s: %v", gpath.String(p), err)
		}
		for _, q := range hello.GetPatterns()[:i] {
			if overlap(p, q) {
				return nil, status.Errorf(codes.InvalidArgument, "patterns %s and %s overlap", gpath.String(q), gpath.String(p))
			}
		}
	}
	return hello, nil
}

func next(ctx context.Context, in <-chan incoming) (*configv1.AttachRequest, error) {
	select {
	case got := <-in:
		return got.message, got.err
	case <-ctx.Done():
		return nil, status.Error(codes.DeadlineExceeded, "nothing was received in time")
	}
}

// hold takes the claims; only new declarations have to wait for a commit that is under way.
func (c *conversation) hold(ctx context.Context, session *Session) error {
	take := func() (func(), error) { return c.registry.hold(session, c.patterns) }
	if c.registry.Known(session.component, c.patterns) {
		_, err := take()
		return err
	}
	return c.house.Declare(ctx, take)
}

// restore sends the snapshot and waits until the owner has it in effect.
func (c *conversation) restore(ctx context.Context, session *Session) error {
	revision, err := c.snapshot()
	if err != nil {
		return err
	}
	var got incoming
	select {
	case got = <-c.in:
	case <-session.ended:
		return wireError(session.cause)
	case <-c.over:
		return errOver
	case <-ctx.Done():
		return ctx.Err()
	}
	restored := got.message.GetRestored()
	switch {
	case got.err != nil:
		return got.err
	case restored == nil:
		return status.Error(codes.InvalidArgument, "the answer to the snapshot must be restored")
	case restored.GetRevision() != revision:
		return status.Errorf(codes.InvalidArgument, "restored revision %d, the snapshot is of %d", restored.GetRevision(), revision)
	}
	session.revision = revision
	for _, f := range restored.GetFailures() {
		session.failures = append(session.failures, newRefusal(session.component, f))
	}
	return nil
}

// snapshot sends the objects on the patterns and returns the revision that decided them.
func (c *conversation) snapshot() (revision int64, err error) {
	revision, subtrees, err := c.house.Snapshot(c.patterns)
	if err != nil {
		return 0, status.Error(codes.Internal, err.Error())
	}
	for _, chunk := range chunks(revision, subtrees) {
		message := &configv1.AttachResponse{Message: &configv1.AttachResponse_Snapshot{Snapshot: chunk}}
		if err := c.stream.Send(message); err != nil {
			return 0, err
		}
	}
	return revision, nil
}

// chunks cuts a snapshot into messages; the last one says so.
func chunks(revision int64, subtrees []*configv1.Subtree) []*configv1.Snapshot {
	out := []*configv1.Snapshot{{Revision: revision}}
	size := 0
	for _, subtree := range subtrees {
		last := out[len(out)-1]
		if n := len(last.GetSubtrees()); n > 0 && (n == chunkObjects || size > chunkBytes) {
			last = &configv1.Snapshot{Revision: revision}
			out, size = append(out, last), 0
		}
		last.Subtrees = append(last.Subtrees, subtree)
		size += proto.Size(subtree)
	}
	out[len(out)-1].Last = true
	return out
}

// converse carries messages both ways until either side ends.
func (c *conversation) converse(ctx context.Context, session *Session) error {
	for {
		select {
		case message := <-session.send:
			if err := c.stream.Send(message); err != nil {
				return err
			}
		case got := <-c.in:
			if got.err != nil {
				return got.err
			}
			if err := dispatch(session, got.message); err != nil {
				return err
			}
		case <-session.ended:
			return wireError(session.cause)
		case <-c.over:
			return errOver
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func dispatch(session *Session, message *configv1.AttachRequest) error {
	switch {
	case message.GetPrepared() != nil:
		p := message.GetPrepared()
		session.reply(answer{transaction: p.GetTransaction()}, p.GetRefusal())
	case message.GetCommitted() != nil:
		c := message.GetCommitted()
		session.reply(answer{transaction: c.GetTransaction(), committed: true}, c.GetFailure())
	default:
		return status.Error(codes.InvalidArgument, "want prepared or committed")
	}
	return nil
}

// wireError puts the package's errors on the wire.
func wireError(err error) error {
	switch {
	case errors.Is(err, ErrOverlap):
		return status.Error(codes.AlreadyExists, err.Error())
	case errors.Is(err, ErrStale):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, ErrAway):
		return status.Error(codes.Aborted, err.Error())
	case errors.Is(err, ErrSlow):
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Unavailable, err.Error())
}
