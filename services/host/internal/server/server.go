// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package server serves ashlar.host.v1: what an operator asks of the machine itself. It checks requests,
// bounds them, and converts between the wire and the domain.
package server

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	hostv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/host/v1"
	"github.com/ashlar-nos/ashlar/services/host/internal/ping"
	"github.com/ashlar-nos/ashlar/services/host/internal/resolve"
	"github.com/ashlar-nos/ashlar/services/host/internal/trace"
)

// The limits of a request.
const (
	maxSessions = 16
	maxCount    = 10_000
	maxSize     = 65_507
	maxHops     = 255
	minInterval = 10 * time.Millisecond
	maxInterval = time.Minute
	maxWait     = time.Minute
)

// Server implements the contract. Safe for concurrent use.
type Server struct {
	hostv1.UnimplementedHostServer
	// Why says what is known of a destination that does not answer; empty for nothing. It is set before the first call.
	Why func(ctx context.Context, destination netip.Addr) string

	pinger   *ping.Pinger
	sessions chan struct{}
	// life ends all sessions.
	life context.Context
	end  context.CancelCauseFunc
}

var errStopping = status.Error(codes.Unavailable, "the host service is stopping")

// New returns a server.
func New() *Server {
	life, end := context.WithCancelCause(context.Background())
	return &Server{pinger: ping.New(), sessions: make(chan struct{}, maxSessions), life: life, end: end}
}

// Close ends all sessions with UNAVAILABLE.
func (s *Server) Close() { s.end(errStopping) }

// enter takes one of the places for sessions. The session's context ends with the call and with the server.
func (s *Server) enter(call context.Context) (ctx context.Context, leave func(), err error) {
	select {
	case s.sessions <- struct{}{}:
	default:
		return nil, nil, status.Errorf(codes.ResourceExhausted, "%d pings and traceroutes are under way, which is the limit; try again", maxSessions)
	}
	ctx, cancel := context.WithCancelCause(call)
	stop := context.AfterFunc(s.life, func() { cancel(errStopping) })
	return ctx, func() { stop(); cancel(nil); <-s.sessions }, nil
}

// Ping implements the contract.
func (s *Server) Ping(r *hostv1.PingRequest, stream grpc.ServerStreamingServer[hostv1.PingResponse]) error {
	request, err := pingRequest(r)
	if err != nil {
		return err
	}
	ctx, leave, err := s.enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	if request.Route, err = resolve.Find(ctx, r.GetDestination(), r.GetSource()); err != nil {
		return failure(ctx, err)
	}
	summary, err := s.pinger.Run(ctx, request, func(o ping.Outcome) error {
		return stream.Send(&hostv1.PingResponse{Message: &hostv1.PingResponse_Reply{Reply: &hostv1.PingReply{
			Sequence: uint32(o.Sequence), Source: o.From, RoundTrip: durationpb.New(o.RoundTrip), Bytes: uint32(o.Bytes), Error: o.Error,
		}}})
	})
	if err != nil {
		return failure(ctx, err)
	}
	out := &hostv1.PingSummary{
		Sent: uint32(summary.Sent), Received: uint32(summary.Received), Minimum: durationpb.New(summary.Minimum),
		Average: durationpb.New(summary.Average), Maximum: durationpb.New(summary.Maximum),
	}
	if summary.Received == 0 && s.Why != nil {
		out.Explanation = s.Why(ctx, request.Route.Destination)
	}
	return stream.Send(&hostv1.PingResponse{Message: &hostv1.PingResponse_Summary{Summary: out}})
}

func pingRequest(r *hostv1.PingRequest) (ping.Request, error) {
	out := ping.Request{Count: 5, Size: 56}
	if r.GetCount() > maxCount {
		return out, status.Errorf(codes.InvalidArgument, "count %d: at most %d", r.GetCount(), maxCount)
	}
	if r.GetSize() > maxSize {
		return out, status.Errorf(codes.InvalidArgument, "size %d: at most %d bytes", r.GetSize(), maxSize)
	}
	if r.GetCount() > 0 {
		out.Count = int(r.GetCount())
	}
	if r.GetSize() > 0 {
		out.Size = int(r.GetSize())
	}
	var err error
	if out.Interval, err = between("interval", r.GetInterval(), time.Second, minInterval, maxInterval); err != nil {
		return out, err
	}
	out.Wait, err = between("wait", r.GetWait(), 2*time.Second, time.Millisecond, maxWait)
	return out, err
}

func between(what string, d *durationpb.Duration, absent, least, most time.Duration) (time.Duration, error) {
	if d == nil {
		return absent, nil
	}
	if v := d.AsDuration(); d.IsValid() && v >= least && v <= most {
		return v, nil
	}
	return 0, status.Errorf(codes.InvalidArgument, "%s %v: %v to %v", what, d.AsDuration(), least, most)
}

// Traceroute implements the contract.
func (s *Server) Traceroute(r *hostv1.TracerouteRequest, stream grpc.ServerStreamingServer[hostv1.TracerouteResponse]) error {
	request := trace.Request{MaxHops: 30}
	if r.GetMaxHops() > maxHops {
		return status.Errorf(codes.InvalidArgument, "max_hops %d: at most %d", r.GetMaxHops(), maxHops)
	}
	if r.GetMaxHops() > 0 {
		request.MaxHops = int(r.GetMaxHops())
	}
	var err error
	if request.Wait, err = between("wait", r.GetWait(), time.Second, time.Millisecond, maxWait); err != nil {
		return err
	}
	ctx, leave, err := s.enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	if request.Route, err = resolve.Find(ctx, r.GetDestination(), r.GetSource()); err != nil {
		return failure(ctx, err)
	}
	err = trace.Run(ctx, request, func(h trace.Hop) error {
		return stream.Send(&hostv1.TracerouteResponse{
			Hop: uint32(h.Number), Source: h.From, RoundTrip: durationpb.New(h.RoundTrip), Reached: h.Reached, Error: h.Error,
		})
	})
	return failure(ctx, err)
}

// failure gives an error its code.
func failure(ctx context.Context, err error) error {
	var wrong *resolve.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errStopping):
		return errStopping
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	case errors.As(err, &wrong):
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.FailedPrecondition, err.Error())
}
