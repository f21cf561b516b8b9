// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/state/internal/store"
)

// toStatus gives an error the code that the contract documents for it.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	for _, m := range []struct {
		cause error
		code  codes.Code
	}{
		{store.ErrLimit, codes.ResourceExhausted},
		{store.ErrInvalid, codes.InvalidArgument},
		{store.ErrNoTable, codes.NotFound},
		{store.ErrNoLease, codes.NotFound},
		{store.ErrNotWriter, codes.PermissionDenied},
		{store.ErrStale, codes.FailedPrecondition},
		{store.ErrIncompatible, codes.FailedPrecondition},
		{store.ErrSequence, codes.AlreadyExists},
		{store.ErrRevision, codes.OutOfRange},
		{store.ErrUnavailable, codes.Unavailable},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{context.Canceled, codes.Canceled},
	} {
		if errors.Is(err, m.cause) {
			return status.Error(m.code, err.Error())
		}
	}
	return status.Error(codes.Internal, err.Error())
}
