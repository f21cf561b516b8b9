// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package repository_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ashlar-nos/ashlar/lab/repository"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := repository.Open(dir); err == nil {
		t.Error("an empty directory is no repository")
	}
	for _, name := range []string{
		"ashlar-rib-1.10.0-1.x86_64.rpm", "ashlar-rib-1.9.0-1.x86_64.rpm", "ashlar-rib-1.0.0-1.x86_64.rpm",
		"ashlar-acme-probe-0.1.0-1.x86_64.rpm", "other-1.0.0-1.x86_64.rpm", "ashlar-rib-1.0.0-1.x86_64.rpm.asc",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := repository.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Versions("rib"); !slices.Equal(got, []string{"1.0.0", "1.9.0", "1.10.0"}) {
		t.Errorf("versions of rib: %v", got)
	}
	if r.Oldest("rib") != "1.0.0" || r.Newest("rib") != "1.10.0" || r.Newest("state") != "" {
		t.Errorf("oldest %q, newest %q, of nothing %q", r.Oldest("rib"), r.Newest("rib"), r.Newest("state"))
	}
	if got := r.AllOldest(); !slices.Equal(got, []string{"acme-probe=0.1.0", "rib=1.0.0"}) {
		t.Errorf("oldest of all: %v", got)
	}
	if file, ok := r.File("rib", "1.9.0"); !ok || filepath.Base(file) != "ashlar-rib-1.9.0-1.x86_64.rpm" {
		t.Errorf("file of rib 1.9.0: %q %v", file, ok)
	}
}
