// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"
)

// TestPlan compares doing operations one after the other with doing what plan makes of them at once.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		before := rapid.MapOf(rapid.StringMatching("[ab/]{0,3}"), rapid.Just(int64(7))).Draw(rt, "before")
		operations, values := drawOperations(rt)
		m := newModel()
		got := map[string]string{}
		for k, v := range before {
			m.rows[tableA][k] = modelRow{v, 1}
			got[rowKey(tableA, k)] = string(number(v))
		}
		m.apply(operations, values, 2)
		want := map[string]string{}
		for _, table := range []string{tableA, tableB} {
			for k, v := range m.numbers(table) {
				want[rowKey(table, k)] = string(number(v))
			}
		}
		planned, err := plan(operations)
		if err != nil {
			rt.Fatal(err)
		}
		applyAtOnce(rt, got, planned)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("(-one by one +planned):\n%s", diff)
		}
	})
}

// applyAtOnce does what etcd does, and refuses what etcd refuses: a key put twice, or put and deleted.
func applyAtOnce(rt *rapid.T, rows map[string]string, planned []clientv3.Op) {
	put := map[string]bool{}
	for _, op := range planned {
		if op.IsPut() && put[string(op.KeyBytes())] {
			rt.Fatalf("%q is put twice", op.KeyBytes())
		}
		put[string(op.KeyBytes())] = put[string(op.KeyBytes())] || op.IsPut()
	}
	for _, op := range planned {
		from, end := string(op.KeyBytes()), string(op.RangeBytes())
		in := func(k string) bool { return k == from || end != "" && k >= from && k < end }
		if op.IsPut() {
			rows[from] = string(op.ValueBytes())
			continue
		}
		for k, is := range put {
			if is && in(k) {
				rt.Fatalf("%q is put and deleted", k)
			}
		}
		maps.DeleteFunc(rows, func(k, _ string) bool { return in(k) })
	}
}

func TestPlanLimitsSplitDeletes(t *testing.T) {
	operations := []Operation{{Table: tableA, Delete: true, Prefix: true}}
	for i := range MaxOperations - 1 {
		operations = append(operations, putOp(tableA, strings.Repeat("k", 1+i%1000)+string(rune('0'+i/1000)), 1))
	}
	_, err := plan(operations)
	wantError(t, err, ErrLimit)
}
