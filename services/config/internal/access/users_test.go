// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsersFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.json")
	var log bytes.Buffer
	users, err := NewUsers(file, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	hash, err := HashPassword("stone")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		desc, text string
		role       Role // "" means that nobody is known
		logged     string
	}{
		{"missing", "", "", "is missing"},
		{"damaged, and none before", `[{"name":"mason"`, "", "unexpected end"},
		{"good", `[{"name":"mason","password_hash":"` + hash + `","role":"operator"}]`, Operator, ""},
		{"cut off", `[{"name":"mason"`, Operator, "unexpected end"},
		{"nameless", `[{"password_hash":"` + hash + `"}]`, Operator, "without a name"},
		{"twice", `[{"name":"mason"},{"name":"mason"}]`, Operator, "twice"},
		{"clear password", `[{"name":"mason","password_hash":"stone"}]`, Operator, "PHC"},
		{"good again, without password", `[{"name":"mason","role":"viewer"}]`, Viewer, ""},
		{"missing again", "", "", "is missing"},
		{"damaged, and missing before", `[`, "", "unexpected end"},
		{"good at last", `[{"name":"mason","role":"viewer"}]`, Viewer, ""},
	} {
		log.Reset()
		err := os.Remove(file)
		if tt.text != "" {
			if err = os.WriteFile(file+".new", []byte(tt.text), 0o600); err == nil {
				err = os.Rename(file+".new", file)
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		role, err := users.Lookup("mason")
		_, _ = users.Lookup("mason")
		if role != tt.role || (err == nil) != (tt.role != "") {
			t.Errorf("%s: role %q, error %v", tt.desc, role, err)
		}
		if err != nil && (!errors.Is(err, ErrUnauthenticated) || strings.Contains(err.Error(), "users.json") || strings.Contains(err.Error(), "JSON")) {
			t.Errorf("%s: a caller is told %q", tt.desc, err)
		}
		if lines := strings.Count(log.String(), "\n"); !strings.Contains(log.String(), tt.logged) || lines > 1 || (lines > 0) != (tt.logged != "") {
			t.Errorf("%s: the log is %q, want %q once", tt.desc, log.String(), tt.logged)
		}
	}
	if _, _, err := users.Verify(t.Context(), "mason", ""); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a user without a password got in with none: %v", err)
	}
}
