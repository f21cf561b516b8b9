// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"path/filepath"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	table "github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/tree"
	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

func (s *supervisor) Stage(ctx context.Context, req *supervisorv1.StageRequest) (*supervisorv1.StageResponse, error) {
	name, err := one(req.GetComponent())
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(req.GetTree()) {
		return nil, status.Errorf(codes.InvalidArgument, "tree %q: want the absolute path of a directory with component.yaml and bin/", req.GetTree())
	}
	dir := filepath.Clean(req.GetTree())
	if name == s.Manifest.Name {
		version, digest, err := s.Self.Stage(ctx, dir, milliseconds(req.GetLimitMs()))
		if err != nil {
			return nil, failure(err)
		}
		return &supervisorv1.StageResponse{Candidate: &supervisorv1.Candidate{Version: version, Digest: digest}}, nil
	}
	if err := s.Tree.Stage(ctx, name, dir, milliseconds(req.GetLimitMs())); err != nil {
		return nil, failure(err)
	}
	c, _ := s.Tree.Status().Get(name)
	return &supervisorv1.StageResponse{Candidate: candidate(c.Candidate)}, nil
}

func (s *supervisor) Rehearse(ctx context.Context, req *supervisorv1.RehearseRequest) (*supervisorv1.RehearseResponse, error) {
	name, err := one(req.GetComponent())
	if err != nil {
		return nil, err
	}
	if name == s.Manifest.Name {
		// It writes nothing that others read but what it is told to.
		return &supervisorv1.RehearseResponse{
			Running: &lifecyclev1.RehearseResponse{Synced: true}, Candidate: &lifecyclev1.RehearseResponse{Synced: true},
		}, nil
	}
	running, candidate, err := s.Tree.Rehearse(ctx, name, milliseconds(req.GetLimitMs()))
	if err != nil {
		return nil, failure(err)
	}
	return &supervisorv1.RehearseResponse{Running: running, Candidate: candidate}, nil
}

func (s *supervisor) Cutover(ctx context.Context, req *supervisorv1.CutoverRequest) (*supervisorv1.CutoverResponse, error) {
	name, err := one(req.GetComponent())
	if err != nil {
		return nil, err
	}
	if name == s.Manifest.Name {
		unchanged, err := s.Self.Cutover(req.GetDigest())
		if err != nil {
			return nil, failure(err)
		}
		return &supervisorv1.CutoverResponse{Unchanged: unchanged}, nil
	}
	limits := tree.Limits{Freeze: milliseconds(req.GetFreezeLimitMs()), Ready: milliseconds(req.GetReadyLimitMs())}
	o, err := s.Tree.Cutover(ctx, name, req.GetDigest(), limits)
	if err != nil {
		return nil, failure(err)
	}
	return &supervisorv1.CutoverResponse{
		FrozenUs: uint64(o.Frozen.Microseconds()), ReadyAfterUs: uint64(o.ReadyAfter.Microseconds()),
		FencingToken: o.Token, Unchanged: o.Unchanged,
	}, nil
}

func (s *supervisor) Discard(ctx context.Context, req *supervisorv1.DiscardRequest) (*supervisorv1.DiscardResponse, error) {
	name, err := one(req.GetComponent())
	if err != nil {
		return nil, err
	}
	if name == s.Manifest.Name {
		s.Self.Discard()
		return &supervisorv1.DiscardResponse{}, nil
	}
	if err := s.Tree.Discard(ctx, name); err != nil {
		return nil, failure(err)
	}
	return &supervisorv1.DiscardResponse{}, nil
}

func (s *supervisor) Confirm(ctx context.Context, req *supervisorv1.ConfirmRequest) (*supervisorv1.ConfirmResponse, error) {
	name, err := one(req.GetComponent())
	if err != nil {
		return nil, err
	}
	if name == s.Manifest.Name {
		if err := s.Self.Confirm(); err != nil {
			return nil, failure(err)
		}
		return &supervisorv1.ConfirmResponse{}, nil
	}
	if err := s.Tree.Confirm(ctx, name); err != nil {
		return nil, failure(err)
	}
	return &supervisorv1.ConfirmResponse{}, nil
}

func (s *supervisor) Remove(ctx context.Context, req *supervisorv1.RemoveRequest) (*supervisorv1.RemoveResponse, error) {
	name, err := one(req.GetComponent())
	if err != nil {
		return nil, err
	}
	if name == s.Manifest.Name {
		return nil, status.Error(codes.FailedPrecondition, "the supervisor runs every other component: it cannot be removed")
	}
	if err := s.Tree.Remove(ctx, name); err != nil {
		return nil, failure(err)
	}
	return &supervisorv1.RemoveResponse{}, nil
}

// one checks that a component is named.
func one(component string) (string, error) {
	if component == "" {
		return "", status.Error(codes.InvalidArgument, "component: want the name of one component")
	}
	return component, nil
}

func milliseconds(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }

func candidate(c *table.Candidate) *supervisorv1.Candidate {
	if c == nil {
		return nil
	}
	out := &supervisorv1.Candidate{
		Version: c.Version, Digest: c.Digest, Pid: int32(c.PID), Ended: c.Ended, Provides: c.Provides,
	}
	if !c.Started.IsZero() {
		out.Started = timestamppb.New(c.Started)
	}
	return out
}

func trial(t *table.Trial) *supervisorv1.Trial {
	if t == nil {
		return nil
	}
	return &supervisorv1.Trial{
		PreviousVersion: t.PreviousVersion, PreviousDigest: t.PreviousDigest, Since: timestamppb.New(t.Since),
	}
}

func reversal(r *table.Reversal) *supervisorv1.Reversal {
	if r == nil {
		return nil
	}
	return &supervisorv1.Reversal{
		FromVersion: r.FromVersion, FromDigest: r.FromDigest, ToVersion: r.ToVersion, Reason: r.Reason,
		At: timestamppb.New(r.At),
	}
}
