// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/identity"
)

func open(t *testing.T, file string) *identity.Users {
	t.Helper()
	u, err := identity.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func id(t *testing.T, u *identity.Users, name string) uint32 {
	t.Helper()
	n, err := u.ID(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestIDsPersist(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uids.json")
	u := open(t, file)
	rib, state := id(t, u, "rib"), id(t, u, "state")
	if rib != 730000 || state != 730001 {
		t.Errorf("ids %d and %d", rib, state)
	}
	again := open(t, file)
	if got := id(t, again, "state"); got != state {
		t.Errorf("id %d became %d", state, got)
	}
	if got := id(t, again, "bgp"); got != 730002 {
		t.Errorf("a new component got %d", got)
	}
}

func TestRangeIsTheOperators(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uids.json")
	if err := os.WriteFile(file, []byte(`{"base": 5000, "size": 2}`), 0o644); err != nil {
		t.Fatal(err)
	}
	u := open(t, file)
	if a, b := id(t, u, "a"), id(t, u, "b"); a != 5000 || b != 5001 {
		t.Errorf("ids %d and %d", a, b)
	}
	if _, err := u.ID("c"); err == nil || !strings.Contains(err.Error(), "5000 to 5001 is used up") {
		t.Errorf("past the range: %v", err)
	}
	if got := id(t, u, "a"); got != 5000 {
		t.Errorf("a became %d", got)
	}
}

func TestDamagedFileIsRefused(t *testing.T) {
	for _, text := range []string{"{", `{"base": 0, "size": 0}`} {
		file := filepath.Join(t.TempDir(), "uids.json")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.Open(file); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}
