// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package children_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
)

func open(t *testing.T, file string) *children.Book {
	t.Helper()
	b, err := children.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordSurvives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "children.json")
	want := children.Child{
		Process:    children.Process{PID: 42, StartTime: 99, Token: 7, Slot: "a", Tree: "/g/rib", Version: "1.0.0", Started: time.Unix(5, 0).UTC()},
		ReadyAfter: time.Second, Crashes: 3,
	}
	if _, err := open(t, file).Change("rib", func(c *children.Child) { *c = want }); err != nil {
		t.Fatal(err)
	}
	again := open(t, file)
	if got := again.Get("rib"); got != want {
		t.Errorf("got %+v", got)
	}
	if again.HighestToken() != 7 {
		t.Errorf("highest token %d", again.HighestToken())
	}
	if err := again.Forget("rib"); err != nil || len(open(t, file).All()) != 0 {
		t.Errorf("forgotten and still there, %v", err)
	}
}

func TestAfterARebootNothingRuns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "children.json")
	if _, err := open(t, file).Change("rib", func(c *children.Child) {
		c.PID, c.StartTime, c.Crashes, c.Token = 42, 99, 3, 7
		c.Draining = &children.Process{PID: 41, StartTime: 98, Token: 6}
		c.Choice = &children.Choice{Tree: "/new"}
		c.Trial = &children.Trial{Tree: "/old"}
	}); err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), strings.TrimSpace(string(boot)), "another-boot", 1)
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	got := open(t, file).Get("rib")
	if got.PID != 0 || got.StartTime != 0 || got.Crashes != 3 || got.Token != 7 || got.Draining != nil || got.Choice != nil || got.Trial != nil {
		t.Errorf("got %+v", got)
	}
}

func TestDamage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "children.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := children.Open(file); !errors.Is(err, children.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}
