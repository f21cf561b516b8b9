// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// What can go wrong. Errors of this package have one of these in their chain, or are failures of the engine.
var (
	// ErrInvalid: the request makes no sense, whatever the store holds.
	ErrInvalid = errors.New("invalid")
	// ErrNoTable: the table was not declared.
	ErrNoTable = errors.New("no such table")
	// ErrNotWriter: the caller may not write there.
	ErrNotWriter = errors.New("not the writer")
	// ErrStale: the fencing token is older than one the store has seen.
	ErrStale = errors.New("stale fencing token")
	// ErrIncompatible: the table's type and the declared one exclude each other.
	ErrIncompatible = errors.New("incompatible type")
	// ErrLimit: a limit was met; the text names it.
	ErrLimit = errors.New("limit reached")
	// ErrSequence: the sequence was used for another transaction, or is older than the last.
	ErrSequence = errors.New("sequence already used")
	// ErrRevision: the revision was compacted or lies in the future.
	ErrRevision = errors.New("revision not available")
	// ErrNoLease: the lease is gone or was never granted to the caller.
	ErrNoLease = errors.New("no such lease")
	// ErrUnavailable: nothing is known about the outcome; the same request may be sent again.
	ErrUnavailable = errors.New("store unavailable")
)

// explain turns an error of etcd's into one of this package.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mvcc.ErrCompacted), errors.Is(err, rpctypes.ErrCompacted):
		return fmt.Errorf("%w: it was compacted", ErrRevision)
	case errors.Is(err, mvcc.ErrFutureRev), errors.Is(err, rpctypes.ErrFutureRev):
		return fmt.Errorf("%w: it lies in the future", ErrRevision)
	case errors.Is(err, rpctypes.ErrLeaseNotFound), errors.Is(err, lease.ErrLeaseNotFound):
		return ErrNoLease
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: the database has no space left (database bytes)", ErrLimit)
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return fmt.Errorf("%w: too many bytes in one transaction, the limit is %d (transaction bytes)", ErrLimit, MaxTransactionBytes)
	case errors.Is(err, rpctypes.ErrTooManyRequests):
		return fmt.Errorf("%w: too many transactions wait for the disk", ErrUnavailable)
	}
	var remote rpctypes.EtcdError
	if errors.As(err, &remote) {
		return fmt.Errorf("%w: %s", ErrUnavailable, remote.Error())
	}
	return err
}
