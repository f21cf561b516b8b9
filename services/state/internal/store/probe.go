// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// proven is how long a write proves that writes work. Within it a probe costs no write: flash wears.
const proven = 10 * time.Second

// Probe reads through etcd's consensus and, unless something was written of late, writes a row of its own.
func (s *Store) Probe(ctx context.Context) error {
	leave, err := s.gate.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := s.Engine.Linearizable(ctx); err != nil {
		return fmt.Errorf("reads do not pass: %w", explain(err))
	}
	s.canaryMu.Lock()
	fresh := time.Since(s.lastWrite) < proven
	s.canaryMu.Unlock()
	if fresh {
		return nil
	}
	if _, err := s.kv().Put(ctx, canaryKey, strconv.FormatInt(time.Now().Unix(), 10)); err != nil {
		return fmt.Errorf("writes do not pass: %w", explain(err))
	}
	s.wrote()
	return nil
}

// TableStatus is a table and how many rows it has.
type TableStatus struct {
	*Table
	Rows int64
}

// Status describes the store.
type Status struct {
	Revision, Compacted       int64
	DatabaseBytes, QuotaBytes int64
	Members                   int
	Version                   string
	Tables                    []TableStatus
	Watches, Leases           int64
	// Stalls counts watches that began again behind their reader.
	Stalls uint64
}

// Status counts rows and measures the database.
func (s *Store) Status(ctx context.Context) (Status, error) {
	leave, err := s.gate.enter()
	if err != nil {
		return Status{}, err
	}
	defer leave()
	history := s.Engine.History()
	size, _ := s.Engine.Size()
	out := Status{
		Revision: history.Rev(), Compacted: history.FirstRev(),
		DatabaseBytes: size, QuotaBytes: s.QuotaBytes,
		Members: len(s.Engine.Server().Cluster().Members()), Version: s.Engine.Version(),
		Watches: s.watches.Load(), Stalls: s.stalls.Load(),
	}
	if out.Leases, err = s.count(ctx, leasePrefix); err != nil {
		return Status{}, fmt.Errorf("leases: %w", err)
	}
	for _, t := range s.Tables() {
		n, err := s.count(ctx, tablePrefix(t.Name))
		if err != nil {
			return Status{}, fmt.Errorf("table %q: %w", t.Name, err)
		}
		out.Tables = append(out.Tables, TableStatus{Table: t, Rows: n})
	}
	return out, nil
}
