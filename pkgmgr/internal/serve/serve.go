// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package serve puts the process tree on the wire: ashlar.supervisor.v1, and ashlar.lifecycle.v1 for the
// supervisor itself. It converts between messages and the tree's types and decides nothing but who
// may call. All of it is safe for concurrent use.
package serve

import (
	"context"
	"errors"
	"log/slog"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
	table "github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/tree"
	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/peer"
)

const (
	// maxMessage bounds a request in bytes; requests here are tiny.
	maxMessage = 64 << 10
	// maxStreams bounds the calls in flight on one connection.
	maxStreams = 100
)

// Config is what the server shows.
type Config struct {
	Tree     *tree.Tree
	Layout   layout.Layout
	Manifest *manifest.Manifest
	Started  time.Time
	// Digest is that of the supervisor's own package, "" when it runs from none.
	Digest string
	// Self upgrades the supervisor itself.
	Self Self
	// Stop begins the orderly stop of the device.
	Stop func()
	Log  *slog.Logger
	// Count counts and times calls.
	Count *grpcprom.ServerMetrics
}

// Self is the supervisor's own upgrade.
type Self interface {
	Stage(ctx context.Context, tree string, limit time.Duration) (version, digest string, err error)
	// Cutover has the staged program take over once the answer is sent.
	Cutover(digest string) (unchanged bool, err error)
	Discard()
	Confirm() error
}

// New returns a server that refuses callers whose user has no edge in the roster; root may call all.
func New(c Config) *grpc.Server {
	policy := peer.NewPolicy(c.Layout.Roster())
	s := grpc.NewServer(
		grpc.Creds(peer.Credentials()),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(c.Count.UnaryServerInterceptor(), policy.Unary),
		grpc.ChainStreamInterceptor(c.Count.StreamServerInterceptor(), policy.Stream),
	)
	supervisorv1.RegisterSupervisorServer(s, &supervisor{Config: c})
	lifecyclev1.RegisterLifecycleServer(s, &lifecycle{Config: c})
	c.Count.InitializeMetrics(s)
	return s
}

// supervisor serves ashlar.supervisor.v1.
type supervisor struct {
	supervisorv1.UnimplementedSupervisorServer
	Config
}

func (s *supervisor) List(context.Context, *supervisorv1.ListRequest) (*supervisorv1.ListResponse, error) {
	out := &supervisorv1.ListResponse{
		SupervisorStarted: timestamppb.New(s.Started),
		SupervisorVersion: s.Manifest.Version,
		SupervisorDigest:  s.Digest,
	}
	for _, c := range s.Tree.Status().List() {
		out.Components = append(out.Components, message(c))
	}
	return out, nil
}

func (s *supervisor) Watch(_ *supervisorv1.WatchRequest, stream grpc.ServerStreamingServer[supervisorv1.WatchResponse]) error {
	w, snapshot := s.Tree.Status().Watch()
	defer w.Close()
	if err := sendAll(stream, snapshot); err != nil {
		return err
	}
	if err := stream.Send(&supervisorv1.WatchResponse{Synced: true}); err != nil {
		return err
	}
	for {
		changed, err := w.Next(stream.Context())
		if err != nil {
			return status.FromContextError(err).Err()
		}
		if err := sendAll(stream, changed); err != nil {
			return err
		}
	}
}

func sendAll(stream grpc.ServerStreamingServer[supervisorv1.WatchResponse], components []table.Component) error {
	for _, c := range components {
		if err := stream.Send(&supervisorv1.WatchResponse{Component: message(c)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *supervisor) Restart(ctx context.Context, req *supervisorv1.RestartRequest) (*supervisorv1.RestartResponse, error) {
	name := req.GetComponent()
	if name == "" {
		return nil, status.Error(codes.InvalidArgument, "component: want the name of one component")
	}
	if name == s.Manifest.Name {
		return nil, status.Error(codes.FailedPrecondition, "the supervisor does not restart itself: its own supervisor does (`systemctl reload ashlard`)")
	}
	if err := s.Tree.Restart(ctx, name); err != nil {
		return nil, failure(err)
	}
	c, _ := s.Tree.Status().Get(name)
	return &supervisorv1.RestartResponse{Component: message(c)}, nil
}

// failure gives the tree's errors their gRPC codes.
func failure(err error) error {
	switch {
	case errors.Is(err, tree.ErrUnknown):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, tree.ErrStopped):
		return status.Error(codes.Unavailable, err.Error())
	case errors.Is(err, tree.ErrBadTree):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, tree.ErrSilent):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, tree.ErrUnfit), errors.Is(err, tree.ErrNothingStaged), errors.Is(err, tree.ErrRequired):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, tree.ErrNotReady), errors.Is(err, tree.ErrHandover):
		return status.Error(codes.Aborted, err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Internal, err.Error())
}

// message converts one component and adds what is only known by asking the kernel now.
func message(c table.Component) *supervisorv1.ComponentStatus {
	if c.PID != 0 && process.Ended(c.PID) {
		// The table follows in a moment, once the kernel has told that the process is gone.
		c.PID = 0
		if c.Phase == table.Ready {
			c.Phase, c.Reason = table.Unready, "its process has just ended"
		}
	}
	out := &supervisorv1.ComponentStatus{
		Name: c.Name, Daemon: c.Daemon, Version: c.Version, Summary: c.Summary,
		Phase: supervisorv1.Phase(c.Phase), Reason: c.Reason,
		Pid: int32(c.PID), Uid: c.UID, ReadyAfterMs: uint32(c.ReadyAfter.Milliseconds()),
		Crashes: c.Crashes, Restarts: c.Restarts,
		LastCause: supervisorv1.Cause(c.LastCause), LastExit: c.LastExit,
		FencingToken: c.Token, Adopted: c.Adopted,
	}
	out.Digest, out.Tree, out.Draining = c.Digest, c.Tree, int32(c.Draining)
	out.Candidate, out.Trial, out.Reversal = candidate(c.Candidate), trial(c.Trial), reversal(c.Reversal)
	if c.PID != 0 {
		out.MemoryBytes, out.OpenFiles = process.Resident(c.PID), uint32(process.OpenFiles(c.PID))
		out.Started = timestamppb.New(c.Started)
	}
	if !c.NextStart.IsZero() {
		out.NextStart = timestamppb.New(c.NextStart)
	}
	return out
}
