// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Condition holds when a row has the revision; 0 means that it must not exist.
type Condition struct {
	Table, Key string
	Revision   int64
}

// Transaction is what Transact does at once or not at all.
type Transaction struct {
	Token uint64
	// Client and Sequence make a retry safe. Without a Client there is no such protection.
	Client   string
	Sequence uint64
	// Digest tells a retry from another transaction under the same sequence.
	Digest     []byte
	Conditions []Condition
	Operations []Operation
}

// Outcome of a transaction.
type Outcome struct {
	Revision int64
	// Failed is the index of the first condition that did not hold; -1 when all did.
	Failed int
	// Repeated: it was decided by an earlier call.
	Repeated bool
}

// attempts bounds how often a transaction begins again because the writer's own records moved under it.
const attempts = 16

// Transact does the transaction for the caller, who must be the writer of every table it changes.
func (s *Store) Transact(ctx context.Context, caller string, t Transaction) (Outcome, error) {
	leave, err := s.gate.enter()
	if err != nil {
		return Outcome{}, err
	}
	defer leave()
	if err := s.admit(ctx, caller, t); err != nil {
		return Outcome{}, err
	}
	operations, err := plan(t.Operations)
	if err != nil {
		return Outcome{}, err
	}
	if err := s.checkSpace(t); err != nil {
		return Outcome{}, err
	}
	for range attempts {
		w, err := s.records(ctx, caller, t)
		if err != nil {
			return Outcome{}, err
		}
		if w.done != nil {
			return w.done.outcome(true), nil
		}
		outcome, decided, err := s.attempt(ctx, w, t, operations)
		if err != nil || decided {
			return outcome, err
		}
	}
	return Outcome{}, fmt.Errorf("%w: too many transactions of %s at once", ErrUnavailable, caller)
}

// attempt commits under the records read before. It is undecided when they changed meanwhile.
func (s *Store) attempt(ctx context.Context, w *writer, t Transaction, operations []clientv3.Op) (Outcome, bool, error) {
	compares := w.unchanged()
	checks := w.reads()
	for _, c := range t.Conditions {
		key := rowKey(c.Table, c.Key)
		compares = append(compares, clientv3.Compare(clientv3.ModRevision(key), "=", c.Revision))
		checks = append(checks, clientv3.OpGet(key, clientv3.WithKeysOnly()))
	}
	then := append(w.update(outcomeMet), operations...)
	resp, err := s.kv().Txn(ctx).If(compares...).Then(then...).Else(checks...).Commit()
	if err != nil {
		return Outcome{}, false, explain(err)
	}
	if resp.Succeeded {
		s.wrote()
		return Outcome{Revision: resp.Header.Revision, Failed: -1}, true, nil
	}
	answers := resp.Responses
	if !w.same(answers) {
		return Outcome{}, false, nil
	}
	outcome := Outcome{Revision: resp.Header.Revision, Failed: failed(t.Conditions, answers[w.count():])}
	return s.settle(ctx, w, outcome)
}

// settle records that a condition did not hold, so that a retry is told the same.
func (s *Store) settle(ctx context.Context, w *writer, outcome Outcome) (Outcome, bool, error) {
	update := w.update(outcome)
	if len(update) == 0 {
		return outcome, true, nil
	}
	resp, err := s.kv().Txn(ctx).If(w.unchanged()...).Then(update...).Commit()
	if err != nil {
		return Outcome{}, false, explain(err)
	}
	if resp.Succeeded {
		s.wrote()
	}
	return outcome, resp.Succeeded, nil
}

func failed(conditions []Condition, answers []*etcdserverpb.ResponseOp) int {
	for i, c := range conditions {
		var revision int64
		if kv := only(answers[i]); kv != nil {
			revision = kv.ModRevision
		}
		if revision != c.Revision {
			return i
		}
	}
	return -1
}

// only is the one row of a read, nil when there is none.
func only(answer *etcdserverpb.ResponseOp) *mvccpb.KeyValue {
	if kvs := answer.GetResponseRange().GetKvs(); len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}
