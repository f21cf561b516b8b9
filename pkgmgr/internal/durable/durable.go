// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package durable replaces small files so that a power cut leaves either the old or the new content.
// Its functions hold no locks; callers serialise writers of one file.
package durable

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile replaces file: it writes a temporary file, syncs it, renames it and syncs the directory.
// When it returns nil, the content outlives a power cut.
func WriteFile(file string, content []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	defer os.Remove(tmp.Name())
	if err := fill(tmp, content, mode); err != nil {
		return fmt.Errorf("durable: %s: %w", file, err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	return syncDir(filepath.Dir(file))
}

// WriteJSON replaces file by the indented JSON of v.
func WriteJSON(file string, v any, mode os.FileMode) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("durable: %s: %w", file, err)
	}
	return WriteFile(file, append(b, '\n'), mode)
}

func fill(f *os.File, content []byte, mode os.FileMode) error {
	_, err := f.Write(content)
	if e := f.Chmod(mode); err == nil {
		err = e
	}
	if e := f.Sync(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("durable: %s: %w", dir, err)
	}
	return nil
}
