// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// model is what the store should hold: per table, rows with the revision of their last change.
type model struct {
	rows     map[string]map[string]modelRow
	sequence uint64
	// at remembers tables by revision, for reads of the past.
	at map[int64]map[string]map[string]int64
}

type modelRow struct{ value, revision int64 }

func newModel() *model {
	return &model{
		rows: map[string]map[string]modelRow{tableA: {}, tableB: {}},
		at:   map[int64]map[string]map[string]int64{},
	}
}

func (m *model) holds(conditions []Condition) int {
	for i, c := range conditions {
		if m.rows[c.Table][c.Key].revision != c.Revision {
			return i
		}
	}
	return -1
}

func (m *model) apply(operations []Operation, values []int64, revision int64) {
	for i, o := range operations {
		table := m.rows[o.Table]
		switch {
		case o.Delete && o.Prefix:
			maps.DeleteFunc(table, func(k string, _ modelRow) bool { return strings.HasPrefix(k, o.Key) })
		case o.Delete:
			delete(table, o.Key)
		default:
			table[o.Key] = modelRow{values[i], revision}
		}
	}
	m.at[revision] = map[string]map[string]int64{tableA: m.numbers(tableA), tableB: m.numbers(tableB)}
}

func (m *model) numbers(table string) map[string]int64 {
	out := map[string]int64{}
	for k, r := range m.rows[table] {
		out[k] = r.value
	}
	return out
}

func drawKey(rt *rapid.T) string {
	return rapid.StringMatching("[ab/]{0,3}").Draw(rt, "key")
}

func drawTable(rt *rapid.T) string {
	return rapid.SampledFrom([]string{tableA, tableB}).Draw(rt, "table")
}

func drawOperations(rt *rapid.T) (operations []Operation, values []int64) {
	for range rapid.IntRange(0, 6).Draw(rt, "operations") {
		o := Operation{Table: drawTable(rt), Key: drawKey(rt)}
		n := rapid.Int64().Draw(rt, "value")
		switch rapid.IntRange(0, 4).Draw(rt, "kind") {
		case 0:
			o.Delete = true
		case 1:
			o.Delete, o.Prefix = true, true
		default:
			o.Value = number(n)
		}
		operations, values = append(operations, o), append(values, n)
	}
	return operations, values
}

func drawConditions(rt *rapid.T, m *model) (out []Condition) {
	for range rapid.IntRange(0, 2).Draw(rt, "conditions") {
		c := Condition{Table: drawTable(rt), Key: drawKey(rt)}
		c.Revision = m.rows[c.Table][c.Key].revision
		if rapid.IntRange(0, 3).Draw(rt, "miss") == 0 {
			c.Revision++
		}
		out = append(out, c)
	}
	return out
}

// TestModel compares the store with a map under transactions, retries, reads of the past and restarts.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, nil)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := newModel()
		mustTransact(t, s, Operation{Table: tableA, Delete: true, Prefix: true}, Operation{Table: tableB, Delete: true, Prefix: true})
		client := fmt.Sprint("client-", run)
		for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
			step(rt, t, s, m, client)
		}
	})
	want := contents(t, s, tableA, 0)
	stop(s)
	again := start(t, dir, nil)
	if diff := cmp.Diff(want, contents(t, again, tableA, 0)); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
}

func step(rt *rapid.T, t *testing.T, s *Store, m *model, client string) {
	operations, values := drawOperations(rt)
	m.sequence++
	tx := Transaction{Token: 1, Client: client, Sequence: m.sequence, Operations: operations, Conditions: drawConditions(rt, m)}
	sum := sha256.Sum256(fmt.Append(nil, tx))
	tx.Digest = sum[:]
	failed := m.holds(tx.Conditions)
	first, err := s.Transact(context.Background(), writerA, tx)
	if err != nil {
		rt.Fatal(err)
	}
	if first.Failed != failed || first.Repeated {
		rt.Fatalf("outcome %+v, want failed condition %d", first, failed)
	}
	if failed < 0 {
		m.apply(operations, values, first.Revision)
	}
	for range rapid.IntRange(0, 2).Draw(rt, "retries") {
		again, err := s.Transact(context.Background(), writerA, tx)
		if want := (Outcome{first.Revision, first.Failed, true}); err != nil || again != want {
			rt.Fatalf("retry: %+v, %v; want %+v", again, err, want)
		}
	}
	for _, table := range []string{tableA, tableB} {
		if diff := cmp.Diff(m.numbers(table), contents(t, s, table, 0)); diff != "" {
			rt.Fatalf("%s after %+v (-model +store):\n%s", table, operations, diff)
		}
	}
	for revision, tables := range m.at {
		if diff := cmp.Diff(tables[tableA], contents(t, s, tableA, revision)); diff != "" {
			rt.Fatalf("at revision %d (-model +store):\n%s", revision, diff)
		}
	}
}
