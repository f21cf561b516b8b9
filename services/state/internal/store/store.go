// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package store keeps typed tables in etcd: transactions over many rows, one revision counter, watches
// that replay, leases and a registry of services.
//
// It promises: an acknowledged transaction is on disk and a refused one changed nothing; a table has one
// writer, whose fencing token is compared inside the transaction; a transaction that is sent again is done
// once. What a caller may make the store hold in memory is bounded. All methods are safe for concurrent
// use. Callers are named by their component; who they are is established before they get here.
package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ashlar-nos/ashlar/services/state/internal/engine"
)

// Owner is the writer of the tables that belong to the store itself.
const Owner = "state"

// Config of a store.
type Config struct {
	Engine *engine.Engine
	Log    *slog.Logger
	// QuotaBytes is the size of the database file past which rows can only be deleted.
	QuotaBytes int64
	// KeepRevisions is how many revisions of history are kept for watches that resume.
	KeepRevisions int64
}

// Store is an open store.
type Store struct {
	Config
	gate    *gate
	tables  tables
	watches atomic.Int64
	stalls  atomic.Uint64
	// commits counts transactions that changed something; kick wakes Maintain before its time.
	commits atomic.Int64
	kick    chan struct{}

	canaryMu  sync.Mutex
	lastWrite time.Time
}

// Open reads the declared tables and declares the store's own.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{Config: cfg, gate: newGate(), kick: make(chan struct{}, 1)}
	if err := s.loadTables(ctx); err != nil {
		return nil, fmt.Errorf("read the tables' declarations: %w", err)
	}
	if err := s.declareRegistry(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) kv() clientv3.KV { return s.Engine.KV() }

// wrote notes that the write path works and wakes Maintain when much was written.
func (s *Store) wrote() {
	s.canaryMu.Lock()
	s.lastWrite = time.Now()
	s.canaryMu.Unlock()
	if s.commits.Add(1)%(s.KeepRevisions/4+1) == 0 {
		s.wake()
	}
}

func (s *Store) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}
