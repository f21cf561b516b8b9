// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package statetest is a state store in memory for tests: it conforms to ashlar.state.v1 as far as the
// configuration service uses it, and fails where a test wants it to.
package statetest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
)

// Store keeps every revision. It is safe for concurrent use.
type Store struct {
	statev1.UnimplementedStateServer

	mu       sync.Mutex
	revision int64
	rows     map[key]*statev1.Row
	declared map[string]string
	token    uint64
	outcomes map[string]outcome
	// changed is closed, and made anew, with each revision.
	changed chan struct{}

	// Before is called with each transaction; an error ends it before anything is changed. After is called
	// once it is on the books; an error is all that the caller hears.
	before, after func(*statev1.TransactRequest) error
}

type key struct{ table, key string }

type outcome struct {
	sequence uint64
	response *statev1.TransactResponse
}

// New returns an empty store.
func New() *Store {
	return &Store{
		rows: map[key]*statev1.Row{}, declared: map[string]string{}, outcomes: map[string]outcome{}, changed: make(chan struct{}),
	}
}

// Fail sets what happens before and after transactions; nil is nothing.
func (s *Store) Fail(before, after func(*statev1.TransactRequest) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

// Keys lists the keys of a table.
func (s *Store) Keys(table string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for k := range s.rows {
		if k.table == table {
			out = append(out, k.key)
		}
	}
	slices.Sort(out)
	return out
}

// Value is a row's, nil when there is none.
func (s *Store) Value(table, name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows[key{table, name}].GetValue()
}

// DeclareTable implements the contract.
func (s *Store) DeclareTable(_ context.Context, r *statev1.DeclareTableRequest) (*statev1.DeclareTableResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.declared[r.GetName()] = r.GetMessageType()
	return &statev1.DeclareTableResponse{}, nil
}

// Read implements the contract, at the present revision.
func (s *Store) Read(r *statev1.ReadRequest, stream grpc.ServerStreamingServer[statev1.ReadResponse]) error {
	s.mu.Lock()
	out := &statev1.ReadResponse{Revision: s.revision}
	for k, row := range s.rows {
		if k.table == r.GetTable() && (k.key == r.GetKey() || r.GetPrefix() && strings.HasPrefix(k.key, r.GetKey())) {
			out.Rows = append(out.Rows, row)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(out.Rows, func(a, b *statev1.Row) int { return strings.Compare(a.GetKey(), b.GetKey()) })
	return stream.Send(out)
}

// Watch implements the contract from a revision on; deletes are not told, and what changed twice is told once.
func (s *Store) Watch(r *statev1.WatchRequest, stream grpc.ServerStreamingServer[statev1.WatchResponse]) error {
	for from := r.GetFromRevision(); ; {
		s.mu.Lock()
		events, changed := &statev1.Events{Revision: s.revision}, s.changed
		for k, row := range s.rows {
			if k.table == r.GetTable() && strings.HasPrefix(k.key, r.GetKeyPrefix()) && row.GetRevision() > from {
				events.Events = append(events.Events, &statev1.Event{Row: row})
			}
		}
		s.mu.Unlock()
		from = events.GetRevision()
		if len(events.GetEvents()) > 0 {
			if err := stream.Send(&statev1.WatchResponse{Message: &statev1.WatchResponse_Events{Events: events}}); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// Transact implements the contract.
func (s *Store) Transact(_ context.Context, r *statev1.TransactRequest) (*statev1.TransactResponse, error) {
	s.mu.Lock()
	before, after := s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(r); err != nil {
			return nil, err
		}
	}
	response, err := s.transact(r)
	if err == nil && after != nil {
		err = after(r)
	}
	if err != nil {
		return nil, err
	}
	return response, nil
}

func (s *Store) transact(r *statev1.TransactRequest) (*statev1.TransactResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.GetFencingToken() < s.token {
		return nil, status.Error(codes.FailedPrecondition, "stale token")
	}
	s.token = r.GetFencingToken()
	if last, ok := s.outcomes[r.GetClient()]; ok && r.GetSequence() <= last.sequence {
		if r.GetSequence() < last.sequence {
			return nil, status.Error(codes.AlreadyExists, "an older sequence")
		}
		again := &statev1.TransactResponse{Revision: last.response.GetRevision(), ConditionsMet: last.response.GetConditionsMet(), RepeatedRequest: true}
		return again, nil
	}
	response := s.apply(r)
	s.outcomes[r.GetClient()] = outcome{r.GetSequence(), response}
	return response, nil
}

func (s *Store) apply(r *statev1.TransactRequest) *statev1.TransactResponse {
	for i, c := range r.GetConditions() {
		if s.rows[key{c.GetTable(), c.GetKey()}].GetRevision() != c.GetRevision() {
			return &statev1.TransactResponse{Revision: s.revision, FailedCondition: uint32(i)}
		}
	}
	s.revision++
	close(s.changed)
	s.changed = make(chan struct{})
	for _, op := range r.GetOperations() {
		if d := op.GetDelete(); d != nil {
			maps.DeleteFunc(s.rows, func(k key, _ *statev1.Row) bool { return k == key{d.GetTable(), d.GetKey()} })
			continue
		}
		p := op.GetPut()
		s.rows[key{p.GetTable(), p.GetKey()}] = &statev1.Row{Table: p.GetTable(), Key: p.GetKey(), Value: p.GetValue(), Revision: s.revision}
	}
	return &statev1.TransactResponse{Revision: s.revision, ConditionsMet: true}
}
