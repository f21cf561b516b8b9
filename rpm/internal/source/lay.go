// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lay makes a component's directory what it must be: put together beside its place, then exchanged with what is there. One
// that is right already is left alone, for a device may be running from it.
func (t *Tree) lay(c Component, program, dir string) error {
	files, err := t.contracts(c)
	if err != nil {
		return err
	}
	want := map[string]string{"component.yaml": filepath.Join(t.dir, c.Dir, "component.yaml")}
	for contract, file := range files {
		want[filepath.Join("contracts", contract)] = filepath.Join(t.dir, file)
	}
	if upToDate(dir, c.Run.Command[0], program, want) {
		return nil
	}
	tmp := filepath.Join(filepath.Dir(dir), "."+c.Name+".new")
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := link(program, filepath.Join(tmp, c.Run.Command[0])); err != nil {
		return err
	}
	for name, from := range want {
		if err := copyFile(from, filepath.Join(tmp, name)); err != nil {
			return err
		}
	}
	return exchange(tmp, dir)
}

// upToDate reports whether a directory has the program, as another name of its file, and the other files, and nothing else.
func upToDate(dir, command, program string, want map[string]string) bool {
	found := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		found++
		if rel == command {
			return same(sameFile, path, program)
		}
		return same(sameContent, path, want[rel])
	})
	return err == nil && found == len(want)+1
}

var errDiffers = errors.New("differs")

// same turns a comparison's answer into an error, which ends a walk.
func same(compare func(a, b string) (bool, error), a, b string) error {
	ok, err := compare(a, b)
	if err == nil && !ok {
		err = errDiffers
	}
	return err
}

func sameFile(a, b string) (bool, error) {
	infoA, err := os.Lstat(a)
	if err != nil {
		return false, err
	}
	infoB, err := os.Lstat(b)
	return err == nil && os.SameFile(infoA, infoB), err
}

func sameContent(a, b string) (bool, error) {
	contentA, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	contentB, err := os.ReadFile(b)
	return bytes.Equal(contentA, contentB), err
}

// exchange puts a directory in another's place in one step; what was there comes to be at the old one's.
func exchange(tmp, dir string) error {
	err := unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
	if errors.Is(err, fs.ErrNotExist) {
		return os.Rename(tmp, dir)
	}
	return err
}

func link(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.Link(from, to)
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}
