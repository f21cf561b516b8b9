// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// Event is one change of a row.
type Event struct {
	Row     Row
	Deleted bool
}

// Watcher receives a watch, in the order of its methods: rows and one synced, unless the watch resumed;
// then events. A method that blocks holds the watch back, never the store. An error ends the watch.
type Watcher interface {
	// Rows are a part of the table as it is.
	Rows([]Row) error
	// Synced: what came before is the table at the revision.
	Synced(revision int64) error
	// Events are all changes of one revision.
	Events(revision int64, events []Event) error
	// Compacted: history before the oldest revision is gone; the watch ends.
	Compacted(oldest int64) error
}

// stall is how long a reader may hold up one message before what waits for it is dropped and read again.
const stall = time.Second

// Watch sends a table's rows whose keys begin with prefix and then follows; with a revision it sends every
// change after that. It returns nil after Compacted, else the reason for its end.
//
// A revision that lies in the future is of a store that was replaced by this one. It is compacted, too: the reader
// has to begin again.
func (s *Store) Watch(ctx context.Context, table, prefix string, after int64, to Watcher) error {
	if _, err := s.Table(table); err != nil {
		return err
	}
	if after < 0 {
		return fmt.Errorf("%w revision %d", ErrInvalid, after)
	}
	leave, err := s.gate.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.gate.life, cancel)()
	if n := s.watches.Add(1); n > maxWatches {
		s.watches.Add(-1)
		return fmt.Errorf("%w: %d watches (watches)", ErrLimit, maxWatches)
	}
	defer s.watches.Add(-1)
	err = s.watch(ctx, table, prefix, after, to)
	if s.gate.life.Err() != nil {
		return fmt.Errorf("%w: it is about to end; resume the watch", ErrUnavailable)
	}
	return err
}

func (s *Store) watch(ctx context.Context, table, prefix string, after int64, to Watcher) error {
	if after == 0 {
		revision, err := s.snapshot(ctx, table, prefix, to)
		if err != nil {
			return err
		}
		after = revision
	} else if err := s.Engine.Linearizable(ctx); err != nil {
		return explain(err)
	}
	if after > s.Engine.History().Rev() {
		return to.Compacted(s.Engine.History().FirstRev())
	}
	return s.follow(ctx, table, prefix, after, to)
}

func (s *Store) snapshot(ctx context.Context, table, prefix string, to Watcher) (int64, error) {
	var revision int64
	err := s.Read(ctx, table, prefix, true, 0, func(rows []Row, at int64) error {
		revision = at
		if len(rows) == 0 {
			return nil
		}
		return to.Rows(rows)
	})
	if err != nil {
		return 0, err
	}
	return revision, to.Synced(revision)
}

// follow sends every change after a revision. etcd keeps at most a few batches for a reader that is behind
// and reads the rest from disk later; one that stalls altogether gives even those up.
func (s *Store) follow(ctx context.Context, table, prefix string, after int64, to Watcher) error {
	for {
		next, err := s.followOnce(ctx, table, prefix, after, to)
		if err != nil || next == 0 {
			return err
		}
		after = next
		s.stalls.Add(1)
	}
}

// followOnce follows until the reader stalls, and returns the revision to go on after; 0 when the watch is over.
func (s *Store) followOnce(ctx context.Context, table, prefix string, after int64, to Watcher) (int64, error) {
	f, err := s.openFeed(ctx, rowKey(table, prefix), after+1)
	if err != nil {
		return 0, err
	}
	defer f.close()
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-s.Engine.Stopped():
			return 0, fmt.Errorf("%w: the store stops", ErrUnavailable)
		case r := <-f.batches:
			// Closing drains the batches: what is received after it began may have a gap before it.
			if f.closed.Load() {
				return after, nil
			}
			if r.CompactRevision != 0 {
				return 0, to.Compacted(r.CompactRevision)
			}
			if after, err = f.send(table, r.Events, to); err != nil {
				return 0, err
			}
		}
	}
}

// feed is a watch stream of etcd's. close may be called from any goroutine, and again.
type feed struct {
	batches <-chan mvcc.WatchResponse
	closed  atomic.Bool
	close   func()
}

func (s *Store) openFeed(ctx context.Context, from string, revision int64) (*feed, error) {
	stream := s.Engine.History().NewWatchStream()
	f := &feed{batches: stream.Chan()}
	f.close = sync.OnceFunc(func() {
		f.closed.Store(true)
		stream.Close()
		for range f.batches {
			// What waits is dropped, so that a stalled reader holds no memory.
		}
	})
	if _, err := stream.Watch(ctx, 0, []byte(from), []byte(prefixEnd(from)), revision); err != nil {
		f.close()
		return nil, fmt.Errorf("watch: %w", err)
	}
	return f, nil
}

// send passes a batch on, one message for each revision, and returns the last one passed on.
func (f *feed) send(table string, batch []*mvccpb.Event, to Watcher) (int64, error) {
	var last int64
	for len(batch) > 0 {
		last = batch[0].Kv.ModRevision
		n := 0
		for n < len(batch) && batch[n].Kv.ModRevision == last {
			n++
		}
		stalled := time.AfterFunc(stall, f.close)
		err := to.Events(last, events(table, batch[:n]))
		stalled.Stop()
		if err != nil {
			return 0, err
		}
		batch = batch[n:]
	}
	return last, nil
}

func events(table string, from []*mvccpb.Event) []Event {
	out := make([]Event, len(from))
	for i, e := range from {
		out[i] = Event{Row: row(table, e.Kv), Deleted: e.Type == mvccpb.Event_DELETE}
	}
	return out
}
