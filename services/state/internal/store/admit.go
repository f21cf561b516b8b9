// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
)

// admit judges a transaction by itself: limits, writers, types, leases.
func (s *Store) admit(ctx context.Context, caller string, t Transaction) error {
	switch {
	case len(t.Operations) > MaxOperations:
		return fmt.Errorf("%w: %d operations in one transaction, the limit is %d (operations)", ErrLimit, len(t.Operations), MaxOperations)
	case len(t.Conditions) > MaxConditions:
		return fmt.Errorf("%w: %d conditions in one transaction, the limit is %d (conditions)", ErrLimit, len(t.Conditions), MaxConditions)
	case len(t.Client) > maxClientBytes:
		return fmt.Errorf("%w: client of %d bytes, the limit is %d (client bytes)", ErrLimit, len(t.Client), maxClientBytes)
	case t.Client != "" && t.Sequence == 0:
		return fmt.Errorf("%w sequence 0 of client %q: the first is 1", ErrInvalid, t.Client)
	}
	if size := t.size(); size > MaxTransactionBytes {
		return fmt.Errorf("%w: %d bytes in one transaction, the limit is %d (transaction bytes)", ErrLimit, size, MaxTransactionBytes)
	}
	for i, c := range t.Conditions {
		if err := s.admitCondition(c); err != nil {
			return fmt.Errorf("condition %d: %w", i, err)
		}
	}
	leases := map[int64]bool{}
	for i, o := range t.Operations {
		if err := s.admitOperation(caller, o); err != nil {
			return fmt.Errorf("operation %d: %w", i, err)
		}
		if o.Lease != 0 {
			leases[o.Lease] = true
		}
	}
	for id := range leases {
		if err := s.checkLease(ctx, caller, id); err != nil {
			return err
		}
	}
	return nil
}

// size estimates the bytes of the etcd request.
func (t Transaction) size() int {
	const overhead = 16
	size := 0
	for _, c := range t.Conditions {
		// A condition is compared and, when one fails, read.
		size += 2 * (len(c.Table) + len(c.Key) + overhead)
	}
	for _, o := range t.Operations {
		size += len(o.Table) + len(o.Key) + len(o.Value) + overhead
	}
	return size
}

func (s *Store) admitCondition(c Condition) error {
	if _, err := s.Table(c.Table); err != nil {
		return err
	}
	if c.Revision < 0 {
		return fmt.Errorf("%w revision %d", ErrInvalid, c.Revision)
	}
	return checkKey(c.Key)
}

func (s *Store) admitOperation(caller string, o Operation) error {
	t, err := s.Table(o.Table)
	if err != nil {
		return err
	}
	if t.Writer != caller {
		return fmt.Errorf("table %q: %w: %s writes it and %s may not", t.Name, ErrNotWriter, t.Writer, caller)
	}
	if err := checkKey(o.Key); err != nil {
		return err
	}
	if o.Delete {
		return nil
	}
	if err := t.Type.Check(o.Value); err != nil {
		return fmt.Errorf("table %q, key %q: %w value: %w", o.Table, o.Key, ErrInvalid, err)
	}
	return nil
}

// checkSpace refuses rows when the database is full; deleting is always possible, so that there is a way out.
func (s *Store) checkSpace(t Transaction) error {
	size := int64(0)
	for _, o := range t.Operations {
		if !o.Delete {
			size += int64(len(o.Value) + len(o.Key))
		}
	}
	file, _ := s.Engine.Size()
	if size > 0 && file > s.QuotaBytes*tidyPercent/100 {
		s.wake()
	}
	if size == 0 || file+size <= s.QuotaBytes {
		return nil
	}
	return fmt.Errorf("%w: the database has %d bytes and may have %d: delete rows (database bytes)", ErrLimit, file, s.QuotaBytes)
}
