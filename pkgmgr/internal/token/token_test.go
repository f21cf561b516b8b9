// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package token_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/token"
)

func open(t *testing.T, file string, floor uint64) *token.Counter {
	t.Helper()
	c, err := token.Open(file, floor)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func next(t *testing.T, c *token.Counter) uint64 {
	t.Helper()
	n, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestGrowsAcrossOpens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for want := uint64(1); want <= 5; want++ {
		if got := next(t, open(t, file, 0)); got != want {
			t.Fatalf("token %d, want %d", got, want)
		}
	}
	if got := next(t, open(t, file, 41)); got != 42 {
		t.Errorf("token %d with a floor of 41", got)
	}
	if got := next(t, open(t, file, 7)); got != 43 {
		t.Errorf("token %d, want 43 in spite of a lower floor", got)
	}
}

func TestNoTokenTwice(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "token"), 0)
	var mu sync.Mutex
	seen := map[uint64]bool{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				n, err := c.Next()
				mu.Lock()
				if err != nil || seen[n] {
					t.Errorf("token %d again, or %v", n, err)
				}
				seen[n] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

func TestDamagedFileIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("twelve"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := token.Open(file, 0); err == nil {
		t.Error("a damaged counter was guessed")
	}
}

func TestUnwritableIssuesNothing(t *testing.T) {
	dir := t.TempDir()
	c := open(t, filepath.Join(dir, "gone", "token"), 5)
	if n, err := c.Next(); err == nil {
		t.Errorf("token %d is not on disk", n)
	}
}
