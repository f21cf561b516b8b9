// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package accesstest

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/ashlar-nos/ashlar/services/config/internal/access"
)

// WriteUsers replaces a users' file; everybody's password is the name, twice.
func WriteUsers(t testing.TB, file string, roles map[string]access.Role) {
	t.Helper()
	var list []map[string]string
	for name, role := range roles {
		hash, err := access.HashPassword(name + name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, map[string]string{"name": name, "password_hash": hash, "role": string(role)})
	}
	text, err := json.Marshal(list)
	if err == nil {
		err = os.WriteFile(file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		t.Fatal(err)
	}
}
