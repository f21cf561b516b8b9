// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"net/netip"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	"github.com/ashlar-nos/ashlar/services/rib/internal/producer"
	"github.com/ashlar-nos/ashlar/services/rib/internal/rib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

// listChunk is the number of prefixes in one message of List.
const listChunk = 256

// Server serves the contract.
type Server struct {
	ribv1.UnimplementedRibServer
	RIB       *rib.RIB
	Producers *producer.Registry
	// Component names the component that calls, "" when it is none.
	Component func(context.Context) string

	produce gate
}

// Freeze ends the streams of producers: they connect again, to whoever listens then. It returns when the last
// one has ended.
func (s *Server) Freeze(ctx context.Context) error { return s.produce.shut(ctx) }

// Unfreeze lets producers open streams again.
func (s *Server) Unfreeze() { s.produce.open() }

// List implements the contract. The answer is not one moment's: each message is.
func (s *Server) List(q *ribv1.ListRequest, stream grpc.ServerStreamingServer[ribv1.ListResponse]) error {
	refs, err := s.refs(q)
	if err != nil {
		return err
	}
	for len(refs) > 0 {
		n := min(len(refs), listChunk)
		out := &ribv1.ListResponse{}
		s.RIB.View(func(t *table.Table) {
			for _, ref := range refs[:n] {
				for _, p := range t.Paths(ref) {
					out.Paths = append(out.Paths, wirePath(p))
				}
			}
		})
		refs = refs[n:]
		if len(out.Paths) == 0 {
			continue
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) refs(q *ribv1.ListRequest) (refs []table.Ref, err error) {
	family := q.GetFamily()
	if family != 0 && family != 4 && family != 6 {
		return nil, status.Errorf(codes.InvalidArgument, "family %d: want 4, 6 or 0 for both", family)
	}
	if q.GetWithin() == nil {
		s.RIB.View(func(t *table.Table) { refs = t.All(int(family)) })
		return refs, nil
	}
	within, err := prefixOf(q.GetWithin())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if is4 := within.Addr().Is4(); family == 4 && !is4 || family == 6 && is4 {
		return nil, nil
	}
	s.RIB.View(func(t *table.Table) { refs = t.Within(within) })
	return refs, nil
}

// Lookup implements the contract.
func (s *Server) Lookup(_ context.Context, q *ribv1.LookupRequest) (*ribv1.LookupResponse, error) {
	a, ok := netip.AddrFromSlice(q.GetAddress())
	if !ok {
		return nil, status.Errorf(codes.InvalidArgument, "an address has 4 or 16 bytes, this one has %d", len(q.GetAddress()))
	}
	var out *ribv1.LookupResponse
	s.RIB.View(func(t *table.Table) {
		if ref, found := t.Lookup(a); found {
			best, _ := t.Best(ref)
			out = &ribv1.LookupResponse{Path: wirePath(best)}
		}
	})
	if out == nil {
		return nil, status.Errorf(codes.NotFound, "no route to %s", a)
	}
	return out, nil
}

const (
	defaultChanges = 10
	maxChanges     = 100
)

// Explain implements the contract.
func (s *Server) Explain(_ context.Context, q *ribv1.ExplainRequest) (*ribv1.ExplainResponse, error) {
	a, ok := netip.AddrFromSlice(q.GetAddress())
	if !ok {
		return nil, status.Errorf(codes.InvalidArgument, "an address has 4 or 16 bytes, this one has %d", len(q.GetAddress()))
	}
	limit := min(int(cmp.Or(q.GetChanges(), defaultChanges)), maxChanges)
	out := &ribv1.ExplainResponse{}
	s.RIB.View(func(t *table.Table) {
		if ref, found := t.Lookup(a); found {
			best, _ := t.Best(ref)
			out.Path = wirePath(best)
		}
		for _, c := range t.Changes(a.Unmap(), limit) {
			out.Changes = append(out.Changes, &ribv1.Change{
				Time: timestamppb.New(c.At), Prefix: wirePrefix(c.Prefix), From: c.From, To: c.To, Reason: c.Reason,
			})
		}
	})
	return out, nil
}
