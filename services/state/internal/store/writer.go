// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// writer holds the records of one writer as they were read for a transaction: its fencing token and what
// became of the client's last transaction. They are compared and replaced inside the transaction.
type writer struct {
	fence, record record
	// token to write, 0 if it is the one already there.
	token uint64
	// next is the record to write, without its outcome; nil when the transaction has no client.
	next *done
	// done is set when the transaction was decided before.
	done *done
	// evict is the record of another client, to be dropped to make room.
	evict string
}

// record is a key of etcd's and the revision it was read at, 0 when it was not there.
type record struct {
	key      string
	revision int64
}

// done is the last outcome of a client, as it is kept in etcd. The revision of an outcome that met its
// conditions is that of the record, which the same transaction wrote.
type done struct {
	Sequence uint64 `json:"sequence"`
	Digest   []byte `json:"digest"`
	Failed   int    `json:"failed"`
	Revision int64  `json:"revision,omitempty"`
}

// outcomeMet stands for success while the revision is not known yet.
var outcomeMet = Outcome{Failed: -1}

func (d *done) outcome(repeated bool) Outcome {
	return Outcome{Revision: d.Revision, Failed: d.Failed, Repeated: repeated}
}

// records reads the caller's records and judges token and sequence by them.
func (s *Store) records(ctx context.Context, caller string, t Transaction) (*writer, error) {
	w := &writer{}
	if err := s.readFence(ctx, caller, t.Token, w); err != nil {
		return nil, err
	}
	if t.Client == "" {
		return w, nil
	}
	return w, s.readDone(ctx, caller, t, w)
}

func (s *Store) get(ctx context.Context, key string) (*mvccpb.KeyValue, error) {
	r, err := s.Engine.History().Range(ctx, []byte(key), nil, mvcc.RangeOptions{})
	if err != nil {
		return nil, explain(err)
	}
	if len(r.KVs) == 0 {
		return nil, nil
	}
	return r.KVs[0], nil
}

func (s *Store) readFence(ctx context.Context, caller string, token uint64, w *writer) error {
	w.fence.key = fenceKey(caller)
	kv, err := s.get(ctx, w.fence.key)
	if err != nil {
		return err
	}
	newest := uint64(0)
	if kv != nil {
		w.fence.revision = kv.ModRevision
		if newest, err = strconv.ParseUint(string(kv.Value), 10, 64); err != nil {
			return fmt.Errorf("fencing token of %s: %w", caller, err)
		}
	}
	switch {
	case token == 0:
		return fmt.Errorf("%w: %s sent none; it has not been activated", ErrStale, caller)
	case token < newest:
		return fmt.Errorf("%w: %s sent %d and its newest is %d", ErrStale, caller, token, newest)
	case token > newest:
		w.token = token
	}
	return nil
}

func (s *Store) readDone(ctx context.Context, caller string, t Transaction, w *writer) error {
	w.record.key = doneKey(caller, t.Client)
	w.next = &done{Sequence: t.Sequence, Digest: t.Digest}
	kv, err := s.get(ctx, w.record.key)
	if err != nil {
		return err
	}
	if kv == nil {
		w.evict, err = s.oldestDone(ctx, caller)
		return err
	}
	w.record.revision = kv.ModRevision
	var last done
	if err := json.Unmarshal(kv.Value, &last); err != nil {
		return fmt.Errorf("last outcome of client %q: %w", t.Client, err)
	}
	if last.Revision == 0 {
		last.Revision = kv.ModRevision
	}
	switch {
	case t.Sequence < last.Sequence:
		return fmt.Errorf("%w: client %q sent %d and its last is %d", ErrSequence, t.Client, t.Sequence, last.Sequence)
	case t.Sequence > last.Sequence:
	case !bytes.Equal(t.Digest, last.Digest):
		return fmt.Errorf("%w: client %q sent another transaction under %d before", ErrSequence, t.Client, t.Sequence)
	default:
		w.done = &last
	}
	return nil
}

// oldestDone is the record that must go before a new client's is kept, "" while there is room.
func (s *Store) oldestDone(ctx context.Context, caller string) (string, error) {
	var oldest string
	var revision int64
	count, prefix := 0, doneOf(caller)
	err := s.scan(ctx, prefix, prefixEnd(prefix), 0, func(p page) error {
		for _, kv := range p.rows {
			count++
			if oldest == "" || kv.ModRevision < revision {
				oldest, revision = string(kv.Key), kv.ModRevision
			}
		}
		return nil
	})
	if err != nil || count < maxClients {
		return "", err
	}
	return oldest, nil
}

// unchanged holds as long as the records are what was read.
func (w *writer) unchanged() []clientv3.Cmp {
	out := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(w.fence.key), "=", w.fence.revision)}
	if w.next != nil {
		out = append(out, clientv3.Compare(clientv3.ModRevision(w.record.key), "=", w.record.revision))
	}
	return out
}

// reads asks for the records' revisions; same reads the answers.
func (w *writer) reads() []clientv3.Op {
	out := []clientv3.Op{clientv3.OpGet(w.fence.key, clientv3.WithKeysOnly())}
	if w.next != nil {
		out = append(out, clientv3.OpGet(w.record.key, clientv3.WithKeysOnly()))
	}
	return out
}

func (w *writer) count() int { return len(w.reads()) }

func (w *writer) same(answers []*etcdserverpb.ResponseOp) bool {
	is := func(r record, answer *etcdserverpb.ResponseOp) bool {
		kv := only(answer)
		return kv == nil && r.revision == 0 || kv != nil && kv.ModRevision == r.revision
	}
	return is(w.fence, answers[0]) && (w.next == nil || is(w.record, answers[1]))
}

// update writes what the transaction leaves behind about its writer.
func (w *writer) update(o Outcome) []clientv3.Op {
	var out []clientv3.Op
	if w.token != 0 {
		out = append(out, clientv3.OpPut(w.fence.key, strconv.FormatUint(w.token, 10)))
	}
	if w.next == nil {
		return out
	}
	d := *w.next
	d.Failed, d.Revision = o.Failed, o.Revision
	// A struct of numbers and bytes always marshals.
	value, _ := json.Marshal(d)
	out = append(out, clientv3.OpPut(w.record.key, string(value)))
	if w.evict != "" {
		out = append(out, clientv3.OpDelete(w.evict))
	}
	return out
}
