// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package hostname

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/services/host/internal/sandbox"
)

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m)) }

func keeper(t *testing.T, dir string) *Keeper {
	t.Helper()
	k, err := NewKeeper(dir, slog.New(slog.DiscardHandler))
	sandbox.Must(t, err)
	return k
}

func byHand(t *testing.T, name string) {
	t.Helper()
	sandbox.Must(t, unix.Sethostname([]byte(name)))
}

func wantName(t *testing.T, want string) {
	t.Helper()
	if now, err := Current(); err != nil || now != want {
		t.Errorf("the name is %q, want %q (%v)", now, want, err)
	}
}

func TestTakeAndGiveBack(t *testing.T) {
	byHand(t, "found")
	dir := filepath.Join(t.TempDir(), "host")
	k := keeper(t, dir)
	sandbox.Must(t, k.Want(""))
	wantName(t, "found")
	sandbox.Must(t, k.Want("r1"))
	wantName(t, "r1")
	sandbox.Must(t, k.Want("r2"))
	wantName(t, "r2")
	// A new process: what was found is not what the old one set.
	k = keeper(t, dir)
	sandbox.Must(t, k.Want("r2"))
	sandbox.Must(t, k.Want(""))
	wantName(t, "found")
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	// The configuration went while no process looked.
	sandbox.Must(t, k.Want("r3"))
	k = keeper(t, dir)
	sandbox.Must(t, k.Want(""))
	wantName(t, "found")
}

func TestRepair(t *testing.T) {
	byHand(t, "found")
	k := keeper(t, t.TempDir())
	byHand(t, "mine")
	if now, err := k.Repair(); err != nil || now != "mine" || k.Repairs() != 0 {
		t.Errorf("an unconfigured name was touched: %q, %v", now, err)
	}
	sandbox.Must(t, k.Want("r1"))
	byHand(t, "theirs")
	if now, err := k.Repair(); err != nil || now != "r1" || k.Repairs() != 1 {
		t.Errorf("%q, %v, %d repairs", now, err, k.Repairs())
	}
	wantName(t, "r1")
}

func TestRecordOfAnotherBootDoesNotCount(t *testing.T) {
	byHand(t, "new")
	dir := t.TempDir()
	sandbox.Must(t, os.WriteFile(filepath.Join(dir, "hostname.json"), []byte(`{"identity":"another boot","found":"old"}`), 0o600))
	k := keeper(t, dir)
	sandbox.Must(t, k.Want("r1"))
	sandbox.Must(t, k.Want(""))
	wantName(t, "new")
}

func TestDamagedRecord(t *testing.T) {
	byHand(t, "now")
	dir := t.TempDir()
	for _, content := range []string{"", "{", "null", "7"} {
		sandbox.Must(t, os.WriteFile(filepath.Join(dir, "hostname.json"), []byte(content), 0o600))
		k := keeper(t, dir)
		sandbox.Must(t, k.Want("r1"))
		sandbox.Must(t, k.Want(""))
		wantName(t, "now")
	}
}

func TestNothingChangesWhenTheRecordCannotBeKept(t *testing.T) {
	byHand(t, "now")
	dir := filepath.Join(t.TempDir(), "taken")
	sandbox.Must(t, os.WriteFile(dir, nil, 0o600))
	k := keeper(t, dir)
	if err := k.Want("r1"); err == nil {
		t.Error("no error")
	}
	wantName(t, "now")
	// What is decided is tried again.
	if err := k.Insist("r1"); err == nil {
		t.Error("no error")
	}
	sandbox.Must(t, os.Remove(dir))
	if now, err := k.Repair(); err != nil || now != "r1" {
		t.Errorf("%q, %v", now, err)
	}
	wantName(t, "r1")
}
