// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package api serves ashlar.state.v1: it converts between the contract's messages and the store, and
// nothing else. Domain errors become gRPC statuses here and only here.
package api

import (
	"context"
	"crypto/sha256"
	"time"

	"google.golang.org/protobuf/proto"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"github.com/ashlar-nos/ashlar/services/state/internal/store"
)

// Identity names the component that a call comes from.
type Identity func(context.Context) (string, error)

// Source waits for the store to be open and returns it. Calls that come before wait with it.
type Source func(context.Context) (*store.Store, error)

// Server implements the contract.
type Server struct {
	statev1.UnimplementedStateServer
	store  Source
	caller Identity
}

// New returns a server on a store.
func New(s Source, caller Identity) *Server { return &Server{store: s, caller: caller} }

// enter names the caller and waits for the store.
func (s *Server) enter(ctx context.Context) (caller string, st *store.Store, err error) {
	if caller, err = s.caller(ctx); err == nil {
		st, err = s.store(ctx)
	}
	return caller, st, err
}

// DeclareTable implements the contract.
func (s *Server) DeclareTable(ctx context.Context, r *statev1.DeclareTableRequest) (*statev1.DeclareTableResponse, error) {
	caller, st, err := s.enter(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	if err := st.Declare(ctx, caller, r.GetName(), r.GetMessageType(), r.GetDescriptorSet()); err != nil {
		return nil, toStatus(err)
	}
	return &statev1.DeclareTableResponse{}, nil
}

// Read implements the contract.
func (s *Server) Read(r *statev1.ReadRequest, stream statev1.State_ReadServer) error {
	st, err := s.store(stream.Context())
	if err != nil {
		return toStatus(err)
	}
	err = st.Read(stream.Context(), r.GetTable(), r.GetKey(), r.GetPrefix(), r.GetRevision(), func(rows []store.Row, revision int64) error {
		return chunked(toRows(rows), func(chunk []*statev1.Row) error {
			return stream.Send(&statev1.ReadResponse{Rows: chunk, Revision: revision})
		})
	})
	return toStatus(err)
}

// Transact implements the contract.
func (s *Server) Transact(ctx context.Context, r *statev1.TransactRequest) (*statev1.TransactResponse, error) {
	caller, st, err := s.enter(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	t, err := fromTransaction(r)
	if err != nil {
		return nil, toStatus(err)
	}
	o, err := st.Transact(ctx, caller, t)
	if err != nil {
		return nil, toStatus(err)
	}
	return &statev1.TransactResponse{
		Revision: o.Revision, ConditionsMet: o.Failed < 0, FailedCondition: uint32(max(o.Failed, 0)), RepeatedRequest: o.Repeated,
	}, nil
}

// digest tells a retry from another transaction. Only what the transaction does counts: a retry may come
// with a newer token.
func digest(r *statev1.TransactRequest) ([]byte, error) {
	if r.GetClient() == "" {
		return nil, nil
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&statev1.TransactRequest{Conditions: r.GetConditions(), Operations: r.GetOperations()})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return sum[:16], nil
}

// GrantLease implements the contract.
func (s *Server) GrantLease(ctx context.Context, r *statev1.GrantLeaseRequest) (*statev1.GrantLeaseResponse, error) {
	caller, st, err := s.enter(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	id, ttl, err := st.Grant(ctx, caller, seconds(r.GetTtlSeconds()))
	if err != nil {
		return nil, toStatus(err)
	}
	return &statev1.GrantLeaseResponse{Lease: id, TtlSeconds: uint32(ttl / time.Second)}, nil
}

// RevokeLease implements the contract.
func (s *Server) RevokeLease(ctx context.Context, r *statev1.RevokeLeaseRequest) (*statev1.RevokeLeaseResponse, error) {
	caller, st, err := s.enter(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	if err := st.Revoke(ctx, caller, r.GetLease()); err != nil {
		return nil, toStatus(err)
	}
	return &statev1.RevokeLeaseResponse{}, nil
}

// Register implements the contract.
func (s *Server) Register(ctx context.Context, r *statev1.RegisterRequest) (*statev1.RegisterResponse, error) {
	caller, st, err := s.enter(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	id, err := st.Register(ctx, caller, r.GetInstance(), seconds(r.GetTtlSeconds()))
	if err != nil {
		return nil, toStatus(err)
	}
	return &statev1.RegisterResponse{Lease: id}, nil
}

// GetStatus implements the contract.
func (s *Server) GetStatus(ctx context.Context, _ *statev1.GetStatusRequest) (*statev1.GetStatusResponse, error) {
	opened, err := s.store(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	st, err := opened.Status(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	out := &statev1.GetStatusResponse{
		Revision: st.Revision, CompactedRevision: st.Compacted, DatabaseBytes: st.DatabaseBytes, QuotaBytes: st.QuotaBytes,
		Members: uint32(st.Members), EngineVersion: st.Version,
		Watches: st.Watches, Leases: st.Leases,
	}
	for _, t := range st.Tables {
		out.Tables = append(out.Tables, &statev1.TableStatus{Name: t.Name, MessageType: t.Type.Name(), Writer: t.Writer, Rows: t.Rows})
	}
	return out, nil
}

func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }
