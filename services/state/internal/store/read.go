// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// Row is one row of a table.
type Row struct {
	Table, Key string
	Value      []byte
	// Revision of the last change; Lease it is bound to, 0 for none.
	Revision, Lease int64
}

const (
	// pageBytes is what a page of rows holds at most, unless its first row alone is larger.
	pageBytes    = 1 << 20
	firstPage    = 4
	largestPage  = 1024
	smallestPage = 1
)

// page is a run of rows in the order of keys.
type page struct {
	rows     []*mvccpb.KeyValue
	revision int64
}

// scan reads a range at one revision (0: now, linearizable) and calls fn with each page, at least once.
// It holds one page at a time.
func (s *Store) scan(ctx context.Context, from, to string, revision int64, fn func(page) error) error {
	if revision == 0 {
		if err := s.Engine.Linearizable(ctx); err != nil {
			return explain(err)
		}
		revision = s.Engine.History().Rev()
	}
	limit, start := int64(firstPage), []byte(from)
	var end []byte
	if to != "" {
		end = []byte(to)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := s.Engine.History().Range(ctx, start, end, mvcc.RangeOptions{Limit: limit, Rev: revision})
		if err != nil {
			return explain(err)
		}
		if err := fn(page{rows: r.KVs, revision: revision}); err != nil {
			return err
		}
		if int64(len(r.KVs)) < limit || end == nil {
			return nil
		}
		start = append(append([]byte{}, r.KVs[len(r.KVs)-1].Key...), 0)
		limit = nextLimit(limit, r.KVs)
	}
}

// nextLimit aims at pages of pageBytes.
func nextLimit(limit int64, rows []*mvccpb.KeyValue) int64 {
	bytes := int64(0)
	for _, kv := range rows {
		bytes += int64(len(kv.Key) + len(kv.Value))
	}
	if bytes > pageBytes {
		return max(limit*pageBytes/bytes, smallestPage)
	}
	return min(2*limit, largestPage)
}

// Read calls fn with the rows of one key or, with prefix, of every key that begins with it: in order, in
// chunks, at one revision (0: now). fn is called at least once.
func (s *Store) Read(ctx context.Context, table, key string, prefix bool, revision int64, fn func([]Row, int64) error) error {
	leave, err := s.gate.enter()
	if err != nil {
		return err
	}
	defer leave()
	if _, err := s.Table(table); err != nil {
		return err
	}
	if revision < 0 {
		return fmt.Errorf("%w revision %d", ErrInvalid, revision)
	}
	from, to := rowKey(table, key), ""
	if prefix {
		to = prefixEnd(from)
	}
	err = s.scan(ctx, from, to, revision, func(p page) error { return fn(rows(table, p.rows), p.revision) })
	if err != nil {
		return fmt.Errorf("table %q: %w", table, err)
	}
	return nil
}

func rows(table string, kvs []*mvccpb.KeyValue) []Row {
	out := make([]Row, len(kvs))
	for i, kv := range kvs {
		out[i] = row(table, kv)
	}
	return out
}

func row(table string, kv *mvccpb.KeyValue) Row {
	return Row{Table: table, Key: string(kv.Key[len(tablePrefix(table)):]), Value: kv.Value, Revision: kv.ModRevision, Lease: kv.Lease}
}

// count returns how many keys begin with prefix.
func (s *Store) count(ctx context.Context, prefix string) (int64, error) {
	r, err := s.Engine.History().Range(ctx, []byte(prefix), []byte(prefixEnd(prefix)), mvcc.RangeOptions{CountOnly: true})
	if err != nil {
		return 0, explain(err)
	}
	return int64(r.Count), nil
}
