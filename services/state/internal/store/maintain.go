// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// tidyEvery bounds how long the store goes without a look at its size and history.
	tidyEvery = 30 * time.Second
	// tidyPercent of the quota: past it all history goes, and the file is rewritten if that makes it smaller.
	tidyPercent = 80
	// sparsePercent: a file of which less is in use is worth rewriting.
	sparsePercent = 60
)

// Maintain compacts history and keeps the database file below its quota until ctx ends.
func (s *Store) Maintain(ctx context.Context) {
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.kick:
		}
		if err := s.tidy(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("the store could not be tidied; it will be tried again", "error", err)
		}
	}
}

func (s *Store) tidy(ctx context.Context) error {
	now, first := s.Engine.History().Rev(), s.Engine.History().FirstRev()
	if now-first > s.KeepRevisions+s.KeepRevisions/4 {
		if err := s.Compact(ctx, now-s.KeepRevisions); err != nil {
			return err
		}
	}
	file, _ := s.Engine.Size()
	if file <= s.QuotaBytes*tidyPercent/100 {
		return nil
	}
	return s.shrink(ctx, now, first)
}

// shrink gives up history for room.
func (s *Store) shrink(ctx context.Context, now, first int64) error {
	if now > first {
		if err := s.Compact(ctx, now); err != nil {
			return err
		}
	}
	file, used := s.Engine.Size()
	if used*100 > file*sparsePercent {
		return nil
	}
	if err := s.Engine.Defragment(); err != nil {
		return err
	}
	after, _ := s.Engine.Size()
	s.Log.Info("rewrote the database", "bytes_before", file, "bytes_after", after)
	return nil
}

// Compact forgets the history before a revision. Watches that are further back are told so.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	if _, err := s.kv().Compact(ctx, revision, clientv3.WithCompactPhysical()); err != nil {
		return fmt.Errorf("compact to revision %d: %w", revision, explain(err))
	}
	return nil
}
