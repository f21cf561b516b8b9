// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ashlar-nos/ashlar/services/state/internal/engine"
)

const (
	writerA = "config"
	tableA  = "config.objects"
	tableB  = "config.history"
	// patience bounds every wait for something that must happen.
	patience = 20 * time.Second
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(writeUntilKilled(dir, os.Stdout))
	}
	os.Exit(m.Run())
}

func open(dir string, change func(*Config)) (*Store, error) {
	log := slog.New(slog.DiscardHandler)
	cfg := Config{Log: log, QuotaBytes: 64 << 20, KeepRevisions: 10_000}
	if change != nil {
		change(&cfg)
	}
	e, err := engine.Open(context.Background(), engine.Config{Dir: dir, Log: log, QuotaBytes: cfg.QuotaBytes + 64<<20})
	if err != nil {
		return nil, err
	}
	cfg.Engine = e
	s, err := Open(context.Background(), cfg)
	if err != nil {
		e.Close()
	}
	return s, err
}

// start opens a store on the directory, with two tables; it is closed with the test, or before.
func start(t testing.TB, dir string, change func(*Config)) *Store {
	t.Helper()
	s, err := open(dir, change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(s) })
	if err := declareBoth(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func declareBoth(s *Store) error {
	for _, name := range []string{tableA, tableB} {
		if err := s.Declare(context.Background(), writerA, name, numberType, numberSet()); err != nil {
			return err
		}
	}
	return nil
}

func stop(s *Store) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.Drain(ctx)
	s.Engine.Close()
}

const numberType = "google.protobuf.Int64Value"

func numberSet() []byte {
	set, err := descriptorSet(wrapperspb.File_google_protobuf_wrappers_proto)
	if err != nil {
		panic(err)
	}
	return set
}

func number(n int64) []byte {
	b, err := proto.Marshal(wrapperspb.Int64(n))
	if err != nil {
		panic(err)
	}
	return b
}

func asNumber(t testing.TB, b []byte) int64 {
	t.Helper()
	v := &wrapperspb.Int64Value{}
	if err := proto.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
	return v.GetValue()
}

func putOp(table, key string, n int64) Operation {
	return Operation{Table: table, Key: key, Value: number(n)}
}

func mustTransact(t testing.TB, s *Store, operations ...Operation) int64 {
	t.Helper()
	o, err := s.Transact(t.Context(), writerA, Transaction{Token: 1, Operations: operations})
	if err != nil {
		t.Fatal(err)
	}
	return o.Revision
}

// contents reads a table as numbers by key.
func contents(t testing.TB, s *Store, table string, revision int64) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := s.Read(context.Background(), table, "", true, revision, func(rows []Row, _ int64) error {
		for _, r := range rows {
			out[r.Key] = asNumber(t, r.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}
