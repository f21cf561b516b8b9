// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestCompare(t *testing.T) {
	p, err := Open(demoPackage(t), key(t, "trusted").Keyring())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		desc  string
		spoil func(dir string) error
		want  []string
	}{
		{"as it was", func(string) error { return nil }, nil},
		{"no directory", os.RemoveAll, []string{".: missing"}},
		{"a file is gone", func(dir string) error { return os.Remove(filepath.Join(dir, "bin/demod")) }, []string{"bin/demod: missing"}},
		{"a directory is gone", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "contracts")) },
			[]string{"contracts: missing", "contracts/ashlar.config.v1.yaml: missing"}},
		{"same size, other content", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "contracts/ashlar.config.v1.yaml"), []byte("interactions: {}\n"), 0o644)
		}, []string{fmt.Sprintf("contracts/ashlar.config.v1.yaml: changed: SHA-256 %x, the package has %x",
			sha256.Sum256([]byte("interactions: {}\n")), sha256.Sum256([]byte("interactions: []\n")))}},
		{"longer", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "bin/demod"), append(program(), 'x'), 0o755)
		}, []string{"bin/demod: changed: 3018 bytes, the package has 3017"}},
		{"not to be run", func(dir string) error { return os.Chmod(filepath.Join(dir, "bin/demod"), 0o644) },
			[]string{"bin/demod: wrong mode: -rw-r--r--, the package has -rwxr-xr-x"}},
		{"setuid", func(dir string) error { return os.Chmod(filepath.Join(dir, "bin/demod"), 0o755|os.ModeSetuid) },
			[]string{"bin/demod: wrong mode: urwxr-xr-x, the package has -rwxr-xr-x"}},
		{"writable directory", func(dir string) error { return os.Chmod(filepath.Join(dir, "bin"), 0o777) },
			[]string{"bin: wrong mode: -rwxrwxrwx, the package has -rwxr-xr-x"}},
		{"extra", func(dir string) error {
			return errors.Join(os.MkdirAll(filepath.Join(dir, "more/of/it"), 0o755), os.WriteFile(filepath.Join(dir, "bin/x"), nil, 0o644))
		}, []string{"bin/x: not in the package", "more: not in the package"}},
		{"link to the same", func(dir string) error {
			file := filepath.Join(dir, "bin/demod")
			return errors.Join(os.Rename(file, filepath.Join(filepath.Dir(dir), "moved")), os.Symlink("../../moved", file))
		}, []string{"bin/demod: wrong type: a symbolic link, the package has a file"}},
		{"a file where a directory was", func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "bin")), os.WriteFile(filepath.Join(dir, "bin"), nil, 0o755))
		}, []string{"bin: wrong type: a file, the package has a directory"}},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "tree")
			if err := p.Unpack(dir); err != nil {
				t.Fatal(err)
			}
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			found, err := p.Compare(dir)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range found {
				got = append(got, d.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// The package's file is not needed: what Open has verified is enough.
func TestCompareWithoutTheFile(t *testing.T) {
	file := demoPackage(t)
	p, err := Open(file, key(t, "trusted").Keyring())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "tree")
	if err := p.Unpack(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if found, err := p.Compare(dir); err != nil || len(found) != 0 {
		t.Errorf("got %v, %v", found, err)
	}
	changed := bytes.ToUpper(program())
	if err := os.WriteFile(filepath.Join(dir, "bin/demod"), changed, 0o755); err != nil {
		t.Fatal(err)
	}
	if found, err := p.Compare(dir); err != nil || len(found) != 1 || found[0].Problem != Changed {
		t.Errorf("got %v, %v", found, err)
	}
}
