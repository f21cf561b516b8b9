// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"github.com/ashlar-nos/ashlar/services/state/internal/store"
)

func fromTransaction(r *statev1.TransactRequest) (store.Transaction, error) {
	sum, err := digest(r)
	if err != nil {
		return store.Transaction{}, err
	}
	t := store.Transaction{Token: r.GetFencingToken(), Client: r.GetClient(), Sequence: r.GetSequence(), Digest: sum}
	for _, c := range r.GetConditions() {
		t.Conditions = append(t.Conditions, store.Condition{Table: c.GetTable(), Key: c.GetKey(), Revision: c.GetRevision()})
	}
	for i, o := range r.GetOperations() {
		op, err := fromOperation(o)
		if err != nil {
			return store.Transaction{}, fmt.Errorf("operation %d: %w", i, err)
		}
		t.Operations = append(t.Operations, op)
	}
	return t, nil
}

func fromOperation(o *statev1.Operation) (store.Operation, error) {
	switch o := o.GetOperation().(type) {
	case *statev1.Operation_Put:
		return store.Operation{Table: o.Put.GetTable(), Key: o.Put.GetKey(), Value: o.Put.GetValue(), Lease: o.Put.GetLease()}, nil
	case *statev1.Operation_Delete:
		return store.Operation{Table: o.Delete.GetTable(), Key: o.Delete.GetKey(), Delete: true, Prefix: o.Delete.GetPrefix()}, nil
	}
	return store.Operation{}, fmt.Errorf("%w: it is neither put nor delete", store.ErrInvalid)
}

func toRows(rows []store.Row) []*statev1.Row {
	out := make([]*statev1.Row, len(rows))
	for i, r := range rows {
		out[i] = toRow(r)
	}
	return out
}

func toRow(r store.Row) *statev1.Row {
	return &statev1.Row{Table: r.Table, Key: r.Key, Value: r.Value, Revision: r.Revision, Lease: r.Lease}
}

// chunkBytes is what one message of rows holds at most, unless one row alone is larger.
const chunkBytes = 1 << 20

// chunked calls send with runs of rows, at least once.
func chunked(rows []*statev1.Row, send func([]*statev1.Row) error) error {
	from, size := 0, 0
	for i, r := range rows {
		n := len(r.GetKey()) + len(r.GetValue())
		if i > from && size+n > chunkBytes {
			if err := send(rows[from:i]); err != nil {
				return err
			}
			from, size = i, 0
		}
		size += n
	}
	return send(rows[from:])
}
