// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"context"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/access"
	"github.com/ashlar-nos/ashlar/services/config/internal/commit"
)

// Set implements gNMI specification 3.4. Success means that the change is on disk and in effect at every
// owner; a definite error means that nothing changed.
func (s *Server) Set(ctx context.Context, request *pb.SetRequest) (*pb.SetResponse, error) {
	began := time.Now()
	outcome, err := s.set(ctx, request)
	s.audit(ctx, request, outcome.Revision, time.Since(began), err)
	if err != nil {
		return nil, err
	}
	return &pb.SetResponse{
		Prefix: request.GetPrefix(), Response: results(request), Timestamp: outcome.Time.UnixNano(),
	}, nil
}

// set checks the request and has it made; its error is a gRPC status.
func (s *Server) set(ctx context.Context, request *pb.SetRequest) (commit.Outcome, error) {
	if err := refuseExtensions(request.GetExtension()); err != nil {
		return commit.Outcome{}, err
	}
	if len(request.GetUnionReplace()) > 0 {
		return commit.Outcome{}, status.Error(codes.Unimplemented, "union_replace is not offered")
	}
	if err := checkSet(request); err != nil {
		return commit.Outcome{}, err
	}
	id, _ := access.FromContext(ctx)
	outcome, err := s.setter.Set(ctx, id.User, request)
	if err != nil {
		return commit.Outcome{}, setStatus(err)
	}
	return outcome, nil
}

// checkSet refuses what could only be misread.
func checkSet(request *pb.SetRequest) error {
	if n := operations(request); n > maxPaths {
		return status.Errorf(codes.InvalidArgument, "%d paths; want at most %d: one path may set many leaves by a JSON value", n, maxPaths)
	}
	paths := append([]*pb.Path{}, request.GetDelete()...)
	for _, u := range append(append([]*pb.Update{}, request.GetReplace()...), request.GetUpdate()...) {
		paths = append(paths, u.GetPath())
		if hasOldValue(u) {
			return status.Errorf(codes.InvalidArgument, "%s: the field value was replaced by val", text(request.GetPrefix(), u.GetPath()))
		}
		if u.GetVal().GetValue() == nil {
			return status.Errorf(codes.InvalidArgument, "%s: no value", text(request.GetPrefix(), u.GetPath()))
		}
	}
	for _, path := range paths {
		if _, err := join(request.GetPrefix(), path); err != nil {
			return setStatus(err)
		}
	}
	return nil
}

// results lists the operations in the order in which they were made (gNMI specification 3.4.2).
func results(request *pb.SetRequest) []*pb.UpdateResult {
	var out []*pb.UpdateResult
	for _, path := range request.GetDelete() {
		out = append(out, &pb.UpdateResult{Path: path, Op: pb.UpdateResult_DELETE})
	}
	for _, u := range request.GetReplace() {
		out = append(out, &pb.UpdateResult{Path: u.GetPath(), Op: pb.UpdateResult_REPLACE})
	}
	for _, u := range request.GetUpdate() {
		out = append(out, &pb.UpdateResult{Path: u.GetPath(), Op: pb.UpdateResult_UPDATE})
	}
	return out
}
