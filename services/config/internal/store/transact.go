// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
)

// transact returns the revision that a transaction made. Once the request was on the wire it is repeated
// with the same (client, sequence) until the outcome is known, or ctx ends: that is ErrLost.
func (s *Store) transact(ctx context.Context, conditions []*statev1.Condition, ops []*statev1.Operation) (int64, error) {
	token, err := s.token(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := s.awaitReady(ctx); err != nil {
		return 0, err
	}
	s.sequence++
	request := &statev1.TransactRequest{
		FencingToken: token, Client: s.client, Sequence: s.sequence, Conditions: conditions, Operations: ops,
	}
	told := ""
	for again := false; ; again = true {
		revision, err := s.try(ctx, request)
		switch {
		case err == nil:
			return revision, nil
		case !errors.Is(err, errUnknown):
			if again {
				// The first try may have been applied and its record be gone: only a fresh start can tell.
				return 0, fmt.Errorf("%w: a repeated transaction ended with: %w", ErrLost, err)
			}
			return 0, err
		}
		if err.Error() != told {
			told = err.Error()
			s.log.Warn("no answer from the state store, asking again", "sequence", request.GetSequence(), "error", err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
}

// errUnknown marks errors after which a transaction may or may not have been applied.
var errUnknown = errors.New("unknown outcome")

func (s *Store) try(ctx context.Context, request *statev1.TransactRequest) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	response, err := s.state.Transact(ctx, request)
	switch status.Code(err) {
	case codes.OK:
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.Internal, codes.Unknown:
		return 0, fmt.Errorf("%w: %w", errUnknown, err)
	case codes.FailedPrecondition, codes.AlreadyExists:
		return 0, fmt.Errorf("%w: %w", ErrLost, err)
	default:
		return 0, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if !response.GetConditionsMet() {
		return 0, fmt.Errorf("%w: condition %d of the transaction does not hold", ErrLost, response.GetFailedCondition())
	}
	return response.GetRevision(), nil
}

// awaitReady waits for the connection, so that an unreachable store is told from a lost answer.
func (s *Store) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachable)
	defer cancel()
	for {
		state := s.conn.GetState()
		if state == connectivity.Ready {
			return nil
		}
		s.conn.Connect()
		if !s.conn.WaitForStateChange(ctx, state) {
			return fmt.Errorf("%w: the connection is %s", ErrUnavailable, state)
		}
	}
}
