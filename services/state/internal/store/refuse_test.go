// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
)

func TestRefusals(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	many := make([]Operation, MaxOperations+1)
	for i := range many {
		many[i] = putOp(tableA, fmt.Sprint(i), 1)
	}
	set, err := descriptorSet((&statev1.Row{}).ProtoReflect().Descriptor().ParentFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Declare(t.Context(), writerA, "config.rows", "ashlar.state.v1.Row", set); err != nil {
		t.Fatal(err)
	}
	big := append([]byte{0x1a, 0x80, 0x80, 0x80, 0x08}, make([]byte, 16<<20)...)
	for _, c := range []struct {
		desc   string
		caller string
		t      Transaction
		want   error
		text   string
	}{
		{"another writer", "rib", Transaction{Token: 9, Operations: []Operation{putOp(tableA, "k", 1)}}, ErrNotWriter, "config writes it"},
		{"the registry", writerA, Transaction{Token: 1, Operations: []Operation{putOp(Registry, "k", 1)}}, ErrNotWriter, "state writes it"},
		{"no table", writerA, Transaction{Token: 1, Operations: []Operation{putOp("nowhere", "k", 1)}}, ErrNoTable, "nowhere"},
		{"no token", writerA, Transaction{Operations: []Operation{putOp(tableA, "k", 1)}}, ErrStale, "not been activated"},
		{"garbage", writerA, Transaction{Token: 1, Operations: []Operation{{Table: tableA, Key: "k", Value: []byte{0xff}}}}, ErrInvalid, numberType},
		{"another type", writerA, Transaction{Token: 1, Operations: []Operation{{Table: tableA, Key: "k", Value: []byte{0x12, 1, 'x'}}}}, ErrInvalid, "does not know"},
		{"too many", writerA, Transaction{Token: 1, Operations: many}, ErrLimit, "20000 (operations)"},
		{"too large", writerA, Transaction{Token: 1, Operations: []Operation{{Table: "config.rows", Key: "k", Value: big}}}, ErrLimit, "(transaction bytes)"},
		{"key too long", writerA, Transaction{Token: 1, Operations: []Operation{putOp(tableA, strings.Repeat("k", 1025), 1)}}, ErrLimit, "(key bytes)"},
		{"no lease", writerA, Transaction{Token: 1, Operations: []Operation{{Table: tableA, Key: "k", Value: number(1), Lease: 7}}}, ErrNoLease, "lease 7"},
		{"sequence 0", writerA, Transaction{Token: 1, Client: "c", Operations: []Operation{putOp(tableA, "k", 1)}}, ErrInvalid, "sequence 0"},
	} {
		t.Run(c.desc, func(t *testing.T) {
			_, err := s.Transact(t.Context(), c.caller, c.t)
			wantError(t, err, c.want)
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q does not say %q", err, c.text)
			}
		})
	}
	if got := contents(t, s, tableA, 0); len(got) != 0 {
		t.Errorf("refused transactions left %v", got)
	}
}

func TestLargestTransactionIsAccepted(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	full := make([]Operation, MaxOperations)
	for i := range full {
		full[i] = putOp(tableA, fmt.Sprintf("%06d", i), int64(i+1))
	}
	o, err := s.Transact(t.Context(), writerA, Transaction{Token: 1, Client: "c", Sequence: 1, Operations: full})
	if err != nil || o.Failed != -1 {
		t.Fatalf("%+v, %v", o, err)
	}
	if n := len(contents(t, s, tableA, 0)); n != MaxOperations {
		t.Errorf("%d rows, want %d", n, MaxOperations)
	}
}

func TestFencing(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, nil)
	put := func(token uint64, n int64) error {
		_, err := s.Transact(context.Background(), writerA, Transaction{Token: token, Operations: []Operation{putOp(tableA, "k", n)}})
		return err
	}
	for _, step := range []struct {
		token uint64
		want  error
	}{{3, nil}, {3, nil}, {2, ErrStale}, {5, nil}, {3, ErrStale}} {
		if err := put(step.token, int64(step.token)); !errors.Is(err, step.want) {
			t.Fatalf("token %d: %v, want %v", step.token, err, step.want)
		}
	}
	stop(s)
	s = start(t, dir, nil)
	wantError(t, put(4, 4), ErrStale)
	if got := contents(t, s, tableA, 0)["k"]; got != 5 {
		t.Errorf("the row is %d, want what token 5 wrote", got)
	}
}

// TestFenceRace has an old writer and a new one write at once: nothing of the old one may land after the
// new one's first transaction.
func TestFenceRace(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	stopped := make(chan int64, 1)
	go func() {
		var last int64
		for i := int64(1); ; i++ {
			o, err := s.Transact(context.Background(), writerA, Transaction{Token: 1, Operations: []Operation{putOp(tableA, "k", i)}})
			if err != nil {
				if !errors.Is(err, ErrStale) {
					t.Error(err)
				}
				stopped <- last
				return
			}
			last = o.Revision
		}
	}()
	for s.Engine.History().Rev() < 50 {
		time.Sleep(time.Millisecond)
	}
	o, err := s.Transact(t.Context(), writerA, Transaction{Token: 2, Operations: []Operation{putOp(tableB, "k", 1)}})
	if err != nil {
		t.Fatal(err)
	}
	if last := <-stopped; last > o.Revision {
		t.Errorf("the old writer wrote revision %d after the new one wrote %d", last, o.Revision)
	}
}

func TestSequences(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	send := func(client string, sequence uint64, digest string) (Outcome, error) {
		return s.Transact(context.Background(), writerA, Transaction{
			Token: 1, Client: client, Sequence: sequence, Digest: []byte(digest), Operations: []Operation{putOp(tableA, "k", int64(sequence))},
		})
	}
	if _, err := send("c", 5, "x"); err != nil {
		t.Fatal(err)
	}
	_, err := send("c", 4, "x")
	wantError(t, err, ErrSequence)
	_, err = send("c", 5, "y")
	wantError(t, err, ErrSequence)
	if o, err := send("c", 5, "x"); err != nil || !o.Repeated {
		t.Errorf("retry: %+v, %v", o, err)
	}
	for i := range maxClients + 10 {
		if _, err := send(fmt.Sprint("many-", i), 1, "x"); err != nil {
			t.Fatal(err)
		}
	}
	n, err := s.count(t.Context(), doneOf(writerA))
	if err != nil || n != maxClients {
		t.Errorf("%d outcomes are remembered (%v), want %d", n, err, maxClients)
	}
	if o, err := send(fmt.Sprint("many-", maxClients+9), 1, "x"); err != nil || !o.Repeated {
		t.Errorf("the newest client's retry: %+v, %v", o, err)
	}
}

func TestDeclarations(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, nil)
	ctx := t.Context()
	for _, c := range []struct {
		desc, caller, table, message string
		set                          []byte
		want                         error
	}{
		{"again", writerA, tableA, numberType, numberSet(), nil},
		{"another writer", "rib", tableA, numberType, numberSet(), ErrNotWriter},
		{"another type", writerA, tableA, "google.protobuf.StringValue", numberSet(), ErrIncompatible},
		{"the store's name", writerA, "state.mine", numberType, numberSet(), ErrNotWriter},
		{"a bad name", writerA, "Config/objects", numberType, numberSet(), ErrInvalid},
		{"a long name", writerA, strings.Repeat("x", 65), numberType, numberSet(), ErrInvalid},
		{"no descriptors", writerA, "config.new", numberType, nil, ErrInvalid},
		{"garbage", writerA, "config.new", numberType, []byte("garbage"), ErrInvalid},
		{"too large", writerA, "config.new", numberType, make([]byte, maxDescriptorBytes+1), ErrLimit},
	} {
		t.Run(c.desc, func(t *testing.T) {
			wantError(t, s.Declare(ctx, c.caller, c.table, c.message, c.set), c.want)
		})
	}
	stop(s)
	s = start(t, dir, nil)
	table, err := s.Table(tableA)
	if err != nil || table.Writer != writerA || table.Type.Name() != numberType {
		t.Errorf("after a restart: %+v, %v", table, err)
	}
}

func TestFullDatabaseRefusesRowsAndRecovers(t *testing.T) {
	s := start(t, t.TempDir(), func(c *Config) { c.QuotaBytes = 8 << 20 })
	set, err := descriptorSet((&statev1.Row{}).ProtoReflect().Descriptor().ParentFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Declare(t.Context(), writerA, "config.rows", "ashlar.state.v1.Row", set); err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	value := append([]byte{0x1a, 0x80, 0x80, 0x40}, make([]byte, size)...)
	write := func(i int) error {
		_, err := s.Transact(t.Context(), writerA, Transaction{Token: 1, Client: "c", Sequence: uint64(i + 1), Operations: []Operation{{Table: "config.rows", Key: fmt.Sprint(i), Value: value}}})
		return err
	}
	i := 0
	for ; err == nil && i < 64; i++ {
		err = write(i)
	}
	wantError(t, err, ErrLimit)
	if !strings.Contains(err.Error(), "database bytes") {
		t.Errorf("error %q does not name the limit", err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("a full store is not ready: %v", err)
	}
	_, err = s.Transact(t.Context(), writerA, Transaction{Token: 1, Operations: []Operation{{Table: "config.rows", Delete: true, Prefix: true}}})
	if err != nil {
		t.Fatalf("rows cannot be deleted: %v", err)
	}
	if err := s.tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The engine tells its new size a moment after it was made smaller.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err = write(i); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("after deleting: %v", err)
	}
}
