// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestUsersFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.json")
	users, err := NewUsers(file)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := HashPassword("stone")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		desc, text string
		ok         bool
	}{
		{"missing", "", false},
		{"good", `[{"name":"mason","password_hash":"` + hash + `","role":"operator"}]`, true},
		{"cut off", `[{"name":"mason"`, false},
		{"nameless", `[{"password_hash":"` + hash + `"}]`, false},
		{"twice", `[{"name":"mason"},{"name":"mason"}]`, false},
		{"clear password", `[{"name":"mason","password_hash":"stone"}]`, false},
		{"good again, without password", `[{"name":"mason","role":"operator"}]`, true},
	} {
		if tt.text != "" {
			if err := os.WriteFile(file+".new", []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
		}
		role, err := users.Lookup("mason")
		if tt.ok != (err == nil) || tt.ok && role != Operator {
			t.Errorf("%s: role %q, error %v", tt.desc, role, err)
		}
		if err != nil && !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v does not say that nobody is known", tt.desc, err)
		}
	}
	if _, _, err := users.Verify(t.Context(), "mason", ""); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a user without a password got in with none: %v", err)
	}
}
