// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/commit"
	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/store"
)

// readStatus puts an error of Get or Subscribe on the wire (gNMI specification 3.3.4, 3.5.2.4: a path that
// the model does not have is not implemented).
func readStatus(err error) error {
	var bad *schema.Error
	if errors.As(err, &bad) && bad.Kind == schema.UnknownPath {
		return status.Error(codes.Unimplemented, err.Error())
	}
	return setStatus(err)
}

// setStatus puts an error of Set on the wire (gNMI specification 3.4.7: a path that is not valid is not found).
func setStatus(err error) error {
	var bad *schema.Error
	if errors.As(err, &bad) {
		return status.Error(schemaCode(bad.Kind), err.Error())
	}
	var refused *commit.Refused
	if errors.As(err, &refused) {
		return status.Error(refused.Code, err.Error())
	}
	var refusal *owners.Refusal
	if errors.As(err, &refusal) {
		return status.Error(refusal.Code, err.Error())
	}
	switch {
	case errors.Is(err, commit.ErrWaiting):
		return status.Error(codes.Unavailable, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, commit.ErrUnknown), errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, commit.ErrBusy), errors.Is(err, store.ErrRefused), errors.Is(err, store.ErrTooLarge):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, commit.ErrNotReady), errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrLost):
		return status.Error(codes.Unavailable, err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Internal, err.Error())
}

func schemaCode(kind schema.Kind) codes.Code {
	switch kind {
	case schema.UnknownPath:
		return codes.NotFound
	case schema.Unsupported:
		return codes.Unimplemented
	}
	return codes.InvalidArgument
}
