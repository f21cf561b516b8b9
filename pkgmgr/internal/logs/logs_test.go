// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package logs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/logs"
)

func write(t *testing.T, f *os.File, text string) {
	t.Helper()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) (*os.File, string) {
	t.Helper()
	name := filepath.Join(dir, "rib.log")
	f, err := logs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, name
}

func tail(t *testing.T, r *logs.Reader, n int, want ...string) {
	t.Helper()
	if got, err := r.Tail(n); err != nil || !slices.Equal(got, want) {
		t.Errorf("tail of %d: %q, %v; want %q", n, got, err, want)
	}
}

func follow(t *testing.T, r *logs.Reader, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var got []string
	for len(got) < len(want) {
		lines, err := r.Follow(ctx)
		if err != nil {
			t.Fatalf("got %q, then %v", got, err)
		}
		got = append(got, lines...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("followed %q, want %q", got, want)
	}
}

func TestTailThenFollow(t *testing.T) {
	f, name := open(t, t.TempDir())
	tail(t, logs.NewReader(name), 5)
	write(t, f, "one\ntwo\nthree\nfo")
	r := logs.NewReader(name)
	tail(t, r, 2, "two", "three")
	write(t, f, "ur\nfive\n")
	follow(t, r, "four", "five")
	tail(t, logs.NewReader(filepath.Join(filepath.Dir(name), "none.log")), 5)
}

func TestRotationKeepsOneOlderPart(t *testing.T) {
	dir := t.TempDir()
	f, name := open(t, dir)
	write(t, f, "old 1\nold 2\n")
	r := logs.NewReader(name)
	tail(t, r, 1, "old 2")
	if err := logs.Rotate(dir, 1<<20); err != nil {
		t.Fatal(err)
	}
	tail(t, logs.NewReader(name), 5, "old 1", "old 2")
	if err := logs.Rotate(dir, 4); err != nil {
		t.Fatal(err)
	}
	write(t, f, "new\n") // by the descriptor that was there before
	tail(t, logs.NewReader(name), 2, "old 2", "new")
	follow(t, r, "new")
	if info, err := os.Stat(name); err != nil || info.Size() != 4 {
		t.Errorf("after the rotation: %v, %v", info, err)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	f, name := open(t, t.TempDir())
	r := logs.NewReader(name)
	write(t, f, strings.Repeat("x", 200<<10)+"\nend\n")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	total := 0
	for {
		lines, err := r.Follow(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if l == "end" {
				if total != 200<<10 {
					t.Errorf("%d of the long line's bytes", total)
				}
				return
			}
			if len(l) > 128<<10 {
				t.Errorf("a piece of %d bytes", len(l))
			}
			total += len(l)
		}
	}
}

func TestTailOfALargeFile(t *testing.T) {
	f, name := open(t, t.TempDir())
	for range 80 {
		write(t, f, strings.Repeat(strings.Repeat("y", 1023)+"\n", 100))
	}
	write(t, f, "last\n")
	got, err := logs.NewReader(name).Tail(1 << 20)
	if err != nil || len(got) < 4000 || got[len(got)-1] != "last" || len(got[0]) != 1023 {
		t.Errorf("%d lines, %v", len(got), err)
	}
	fmt.Fprintln(f)
}
