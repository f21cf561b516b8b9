// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/lease"
)

// Grant makes a lease for the caller and returns it with the time to live in force.
func (s *Store) Grant(ctx context.Context, caller string, ttl time.Duration) (int64, time.Duration, error) {
	leave, err := s.gate.enter()
	if err != nil {
		return 0, 0, err
	}
	defer leave()
	seconds := int64((ttl + time.Second - 1) / time.Second)
	if seconds < 1 || seconds > maxTTL {
		return 0, 0, fmt.Errorf("%w time to live %v: want 1 s to %d s", ErrInvalid, ttl, maxTTL)
	}
	granted, err := s.Engine.Leases().Grant(ctx, seconds)
	if err != nil {
		return 0, 0, explain(err)
	}
	// The owner is a row that vanishes with the lease.
	id := int64(granted.ID)
	if _, err := s.kv().Put(ctx, leaseKey(id), caller, clientv3.WithLease(granted.ID)); err != nil {
		return 0, 0, explain(err)
	}
	s.wrote()
	return id, time.Duration(granted.TTL) * time.Second, nil
}

// Renew gives a lease its full time again and returns it.
func (s *Store) Renew(ctx context.Context, caller string, id int64) (time.Duration, error) {
	leave, err := s.gate.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	if err := s.checkLease(ctx, caller, id); err != nil {
		return 0, err
	}
	seconds, err := s.Engine.Server().LeaseRenew(ctx, lease.LeaseID(id))
	switch {
	case errors.Is(err, lease.ErrNotPrimary):
		return 0, fmt.Errorf("%w: no leader yet", ErrUnavailable)
	case err != nil:
		return 0, fmt.Errorf("lease %d: %w", id, explain(err))
	}
	return time.Duration(seconds) * time.Second, nil
}

// Revoke ends a lease and deletes the rows bound to it.
func (s *Store) Revoke(ctx context.Context, caller string, id int64) error {
	leave, err := s.gate.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := s.checkLease(ctx, caller, id); err != nil {
		return err
	}
	if _, err := s.Engine.Leases().Revoke(ctx, clientv3.LeaseID(id)); err != nil {
		return fmt.Errorf("lease %d: %w", id, explain(err))
	}
	s.wrote()
	return nil
}

// checkLease reports whether the caller holds the lease. One that another holds is as good as none.
func (s *Store) checkLease(ctx context.Context, caller string, id int64) error {
	kv, err := s.get(ctx, leaseKey(id))
	if err != nil {
		return err
	}
	if kv == nil || string(kv.Value) != caller {
		return fmt.Errorf("lease %d: %w: it ran out, was revoked or never was %s's", id, ErrNoLease, caller)
	}
	return nil
}
