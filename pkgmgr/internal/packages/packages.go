// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package packages serves ashlar.pkg.v1: it turns calls into requests of the engine and the store, and what they
// say into messages. It holds no state of its own but for who waits for the engine to be there.
package packages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/peer"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/engine"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generations"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// Parts is what the server serves.
type Parts struct {
	Engine      *engine.Engine
	Store       *store.Store
	Generations *generations.Generations
	Supervisor  supervisorv1.SupervisorClient
	Now         func() time.Time
}

// Server implements pkgv1.PackagesServer. Calls wait until Open.
type Server struct {
	pkgv1.UnimplementedPackagesServer
	once  sync.Once
	open  chan struct{}
	parts Parts
}

// New returns a server without its parts.
func New() *Server { return &Server{open: make(chan struct{})} }

// Open gives the server its parts, once.
func (s *Server) Open(p Parts) {
	s.once.Do(func() {
		s.parts = p
		close(s.open)
	})
}

func (s *Server) ready(ctx context.Context) error {
	select {
	case <-s.open:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// caller names who asks, for the history.
func caller(ctx context.Context) string {
	id, ok := peer.FromContext(ctx)
	if !ok {
		return "unknown"
	}
	return fmt.Sprintf("uid %d", id.UID)
}

// answer turns an error into a status.
func answer(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	var busy *engine.Busy
	var refused *engine.NotAllowed
	code := codes.Internal
	switch {
	case errors.As(err, &refused):
		return violations(refused)
	case errors.As(err, &busy):
		code = codes.Aborted
	case errors.Is(err, engine.ErrState):
		code = codes.FailedPrecondition
	case errors.Is(err, engine.ErrArgument), errors.Is(err, generations.ErrUnknown):
		code = codes.InvalidArgument
	case errors.Is(err, store.ErrFull):
		code = codes.ResourceExhausted
	case errors.Is(err, engine.ErrLeaving):
		code = codes.Unavailable
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	return status.Error(code, err.Error())
}

// violations is a refusal with each reason as a detail.
func violations(r *engine.NotAllowed) error {
	details := &errdetails.PreconditionFailure{}
	for _, reason := range r.Reasons {
		e := reason.GetEdge()
		subject := strings.TrimSpace(fmt.Sprintf("%s %s → %s", e.GetConsumer(), e.GetContract(), e.GetProvider()))
		details.Violations = append(details.Violations, &errdetails.PreconditionFailure_Violation{
			Type: reason.GetKind(), Subject: subject, Description: reason.GetText(),
		})
	}
	st := status.New(codes.FailedPrecondition, r.Error())
	if detailed, err := st.WithDetails(details); err == nil {
		st = detailed
	}
	return st.Err()
}

// Add implements pkgv1.PackagesServer.
func (s *Server) Add(stream pkgv1.Packages_AddServer) error {
	if err := s.ready(stream.Context()); err != nil {
		return err
	}
	batch, err := s.parts.Store.Begin()
	if err != nil {
		return answer(err)
	}
	defer batch.Close()
	if err := receive(stream, batch); err != nil {
		return err
	}
	added, err := batch.Admit(s.parts.Now())
	if err != nil {
		return answer(err)
	}
	out := &pkgv1.AddResponse{}
	view := s.view()
	for _, a := range added {
		f := &pkgv1.AddedFile{Name: a.Name, Known: a.Known}
		if a.Package != nil {
			f.Package = view.pkg(a.Package)
		}
		if a.Refusal != nil {
			f.Refusal = a.Refusal.Error()
		}
		out.Files = append(out.Files, f)
	}
	s.parts.Engine.Touch()
	return stream.SendAndClose(out)
}

func receive(stream pkgv1.Packages_AddServer, batch *store.Batch) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *pkgv1.AddRequest_Name:
			err = batch.Next(m.Name)
		case *pkgv1.AddRequest_Data:
			_, err = batch.Write(m.Data)
		}
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
	}
}

func changes(list []*pkgv1.Change) []plan.Change {
	var out []plan.Change
	for _, c := range list {
		out = append(out, plan.Change{Component: c.GetComponent(), Version: c.GetVersion(), Remove: c.GetRemove()})
	}
	return out
}

// Propose implements pkgv1.PackagesServer.
func (s *Server) Propose(ctx context.Context, r *pkgv1.ProposeRequest) (*pkgv1.ProposeResponse, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	p, err := s.parts.Engine.Propose(changes(r.GetChanges()), r.GetAdd(), r.GetDryRun())
	if err != nil {
		return nil, answer(err)
	}
	return &pkgv1.ProposeResponse{Plan: planOf(p)}, nil
}

// Judge implements pkgv1.PackagesServer.
func (s *Server) Judge(ctx context.Context, r *pkgv1.JudgeRequest) (*pkgv1.JudgeResponse, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	p, err := s.parts.Engine.Judge(changes(r.GetChanges()))
	if err != nil {
		return nil, answer(err)
	}
	return &pkgv1.JudgeResponse{Allowed: p.Verdict.Allowed(), Reasons: p.Verdict.Reasons, Edges: p.Verdict.Edges, Sets: uint32(p.Sets)}, nil
}

// Apply implements pkgv1.PackagesServer.
func (s *Server) Apply(r *pkgv1.ApplyRequest, stream pkgv1.Packages_ApplyServer) error {
	if err := s.ready(stream.Context()); err != nil {
		return err
	}
	id, err := s.parts.Engine.Apply(engine.Options{
		By: caller(stream.Context()), Commit: r.GetCommit(),
		Timer: time.Duration(r.GetCommitTimerS()) * time.Second, Soak: time.Duration(r.GetSoakMs()) * time.Millisecond,
	})
	if err != nil {
		return answer(err)
	}
	return s.follow(stream.Context(), id, func(p *pkgv1.Progress) error { return stream.Send(&pkgv1.ApplyResponse{Progress: p}) })
}

// Rollback implements pkgv1.PackagesServer.
func (s *Server) Rollback(r *pkgv1.RollbackRequest, stream pkgv1.Packages_RollbackServer) error {
	if err := s.ready(stream.Context()); err != nil {
		return err
	}
	id, err := s.parts.Engine.Rollback(r.GetGeneration(), r.GetComponents(), engine.Options{
		By: caller(stream.Context()), Soak: time.Duration(r.GetSoakMs()) * time.Millisecond,
	})
	if err != nil {
		return answer(err)
	}
	return s.follow(stream.Context(), id, func(p *pkgv1.Progress) error { return stream.Send(&pkgv1.RollbackResponse{Progress: p}) })
}

// Watch implements pkgv1.PackagesServer.
func (s *Server) Watch(r *pkgv1.WatchRequest, stream pkgv1.Packages_WatchServer) error {
	if err := s.ready(stream.Context()); err != nil {
		return err
	}
	send := func(p *pkgv1.Progress) error { return stream.Send(&pkgv1.WatchResponse{Progress: p}) }
	if r.GetOperation() != 0 {
		return s.follow(stream.Context(), r.GetOperation(), send)
	}
	return s.followAll(stream.Context(), send)
}

func (s *Server) follow(ctx context.Context, id uint64, send func(*pkgv1.Progress) error) error {
	err := s.parts.Engine.Follow(ctx, id, func(o *engine.Operation, p engine.Progress) error { return send(progressOf(o, p)) })
	if err != nil && (errors.Is(err, engine.ErrLeaving) || cut(ctx)) {
		return status.Errorf(codes.Unavailable, "the package manager is being replaced or stopped: watch operation %d for how it goes on", id)
	}
	return answer(err)
}

// cut reports whether this process ended the call to leave, and not its caller: the kit then gives a cause.
func cut(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), ctx.Err())
}

// followAll follows the operation under way and every one after it.
func (s *Server) followAll(ctx context.Context, send func(*pkgv1.Progress) error) error {
	state, _, changed := s.parts.Engine.Snapshot()
	next := state.LastID + 1
	for _, o := range state.Operations {
		if o.Outcome == engine.Running {
			next = o.ID
		}
	}
	for {
		if state.LastID >= next {
			if err := s.follow(ctx, next, send); err != nil {
				return err
			}
			next++
		} else {
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
		}
		if s.parts.Engine.Broken() == engine.ErrLeaving {
			return answer(engine.ErrLeaving)
		}
		state, _, changed = s.parts.Engine.Snapshot()
	}
}

// Commit implements pkgv1.PackagesServer.
func (s *Server) Commit(ctx context.Context, _ *pkgv1.CommitRequest) (*pkgv1.CommitResponse, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	g, err := s.parts.Engine.Commit(ctx, caller(ctx))
	if err != nil && cut(ctx) {
		err = engine.ErrLeaving
	}
	if err != nil {
		return nil, answer(err)
	}
	return &pkgv1.CommitResponse{Generation: g}, nil
}

// Abort implements pkgv1.PackagesServer.
func (s *Server) Abort(ctx context.Context, _ *pkgv1.AbortRequest) (*pkgv1.AbortResponse, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	text, err := s.parts.Engine.Abort(ctx, caller(ctx))
	if err != nil && cut(ctx) {
		err = engine.ErrLeaving
	}
	if err != nil {
		return nil, answer(err)
	}
	return &pkgv1.AbortResponse{Aborted: text}, nil
}

// Verify implements pkgv1.PackagesServer.
func (s *Server) Verify(ctx context.Context, r *pkgv1.VerifyRequest) (*pkgv1.VerifyResponse, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	state, _, _ := s.parts.Engine.Snapshot()
	members := state.Running
	if r.GetGeneration() != 0 {
		g, err := s.parts.Generations.Get(r.GetGeneration())
		if err != nil {
			return nil, answer(err)
		}
		members = g.Members
	}
	out := &pkgv1.VerifyResponse{}
	for _, component := range sorted(members) {
		if ctx.Err() != nil {
			return nil, answer(ctx.Err())
		}
		digest := members[component]
		differences, files, err := s.parts.Store.Verify(digest)
		if err != nil {
			out.Faults = append(out.Faults, &pkgv1.Fault{Component: component, Digest: digest, Reason: err.Error()})
		}
		out.Files += uint32(files)
		for _, d := range differences {
			out.Faults = append(out.Faults, &pkgv1.Fault{Component: component, Digest: digest, File: d.Path, Reason: reasonOf(d)})
		}
	}
	return out, nil
}

// Discard implements pkgv1.PackagesServer.
func (s *Server) Discard(ctx context.Context, r *pkgv1.DiscardRequest) (*pkgv1.DiscardResponse, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	have := s.parts.Store.Packages()
	var list []*store.Package
	for _, name := range r.GetPackages() {
		p, err := plan.Find(name, have)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		list = append(list, p)
	}
	view := s.view()
	if err := s.parts.Engine.Discard(list); err != nil {
		return nil, answer(err)
	}
	out := &pkgv1.DiscardResponse{}
	for _, p := range list {
		out.Discarded = append(out.Discarded, view.pkg(p))
	}
	return out, nil
}

// Show implements pkgv1.PackagesServer.
func (s *Server) Show(ctx context.Context, _ *pkgv1.ShowRequest) (*pkgv1.ShowResponse, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	return s.show(ctx), nil
}

// Observe tells an observer the whole state, now and after each change, until ctx ends.
func (s *Server) Observe(ctx context.Context, observer engine.Observer) {
	if s.ready(ctx) != nil {
		return
	}
	for ctx.Err() == nil {
		_, _, changed := s.parts.Engine.Snapshot()
		observer(s.show(ctx))
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}
