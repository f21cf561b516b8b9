// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package history

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func open(dir string) *Store {
	s := New(dir, slog.New(slog.DiscardHandler))
	s.Load()
	return s
}

func flush(s *Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Run(ctx)
}

func TestSinceOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(dir)
	up := Operation{Identity: "boot/1", Index: 7, Up: true, Carrier: true, Changes: 2}
	first := time.Unix(100, 5)
	if got := s.Since("ge0", up, first); !got.Equal(first) {
		t.Error(got)
	}
	if got := s.Since("ge0", up, time.Unix(200, 0)); !got.Equal(first) {
		t.Error(got)
	}
	flush(s)
	s = open(dir)
	if got := s.Since("ge0", up, time.Unix(300, 0)); !got.Equal(first) {
		t.Error(got)
	}
	// A flap that nobody saw.
	up.Changes = 4
	if got := s.Since("ge0", up, time.Unix(400, 0)); !got.Equal(time.Unix(400, 0)) {
		t.Error(got)
	}
	s.Forget("ge0")
	flush(s)
	if got := open(dir).Since("ge0", up, time.Unix(500, 0)); !got.Equal(time.Unix(500, 0)) {
		t.Error(got)
	}
}

func TestDamagedFile(t *testing.T) {
	for _, content := range []string{"", "{", "null", "[1]"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "history.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(dir)
		if got := s.Since("ge0", Operation{}, time.Unix(1, 0)); !got.Equal(time.Unix(1, 0)) {
			t.Error(got)
		}
		flush(s)
	}
}
