// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func openQuiet(t *testing.T, dir string) (*Engine, error) {
	t.Helper()
	return Open(context.Background(), Config{Dir: dir, Log: slog.New(slog.DiscardHandler), QuotaBytes: 64 << 20})
}

// filled returns a closed data directory with enough writes for several log segments.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	e, err := openQuiet(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	value := strings.Repeat("v", 1<<20)
	for i := range 10 {
		if _, err := e.KV().Put(t.Context(), fmt.Sprint("k", i), value); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func only(t *testing.T, pattern string, which int) string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	if which < 0 {
		which += len(files)
	}
	return files[which]
}

func overwrite(t *testing.T, file string, offset int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	e, err := openQuiet(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openQuiet(t, dir)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("pid ", os.Getpid())) || !strings.Contains(err.Error(), filepath.Join(dir, "lock")) {
		t.Errorf("error %v, want one that names the lock and its holder", err)
	}
	e.Close()
	e, err = openQuiet(t, dir)
	if err != nil {
		t.Fatalf("after closing: %v", err)
	}
	e.Close()
}

func TestDamageIsNamed(t *testing.T) {
	database := func(dir string) string { return filepath.Join(dir, "etcd/member/snap/db") }
	for _, c := range []struct {
		desc   string
		damage func(t *testing.T, dir string) (file string)
	}{
		{"database cut off", func(t *testing.T, dir string) string {
			if err := os.Truncate(database(dir), 64<<10); err != nil {
				t.Fatal(err)
			}
			return database(dir)
		}},
		{"database empty", func(t *testing.T, dir string) string {
			if err := os.Truncate(database(dir), 100); err != nil {
				t.Fatal(err)
			}
			return database(dir)
		}},
		{"database is garbage", func(t *testing.T, dir string) string {
			overwrite(t, database(dir), 0, []byte(strings.Repeat("garbage ", 4096)))
			return database(dir)
		}},
		{"log segment is garbage in the middle", func(t *testing.T, dir string) string {
			file := only(t, filepath.Join(dir, "etcd/member/wal/*.wal"), 0)
			overwrite(t, file, 2<<20, []byte("garbage"))
			return file
		}},
		{"log segment is cut off", func(t *testing.T, dir string) string {
			file := only(t, filepath.Join(dir, "etcd/member/wal/*.wal"), 1)
			if err := os.Truncate(file, 100<<10); err != nil {
				t.Fatal(err)
			}
			return file
		}},
		{"log segment is missing", func(t *testing.T, dir string) string {
			if err := os.Remove(only(t, filepath.Join(dir, "etcd/member/wal/*.wal"), 1)); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "etcd/member/wal")
		}},
	} {
		t.Run(c.desc, func(t *testing.T) {
			dir := filled(t)
			file := c.damage(t, dir)
			e, err := openQuiet(t, dir)
			if err == nil {
				e.Close()
				t.Fatal("opened")
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "backup") {
				t.Errorf("error %q, want one that names %s and what to do", err, file)
			}
		})
	}
}

func TestTornEndIsRepaired(t *testing.T) {
	dir := filled(t)
	last := only(t, filepath.Join(dir, "etcd/member/wal/*.wal"), -1)
	info, err := os.Stat(last)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(last, info.Size()-info.Size()/3); err != nil {
		t.Fatal(err)
	}
	e, err := openQuiet(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got, err := e.KV().Get(t.Context(), "k0")
	if err != nil || len(got.Kvs) != 1 {
		t.Errorf("first row: %v, %v", got, err)
	}
}

// TestNothingListens compares the process's sockets before and after.
func TestNothingListens(t *testing.T) {
	before := listeners(t)
	e, err := openQuiet(t, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if after := listeners(t); after != before {
		t.Errorf("%d sockets more after the engine has started", after-before)
	}
}

// listeners counts the sockets that this process holds.
func listeners(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}
