// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package found

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Store keeps the records in one file. It is not safe for concurrent use.
type Store struct {
	file    string
	records map[string]Record
}

// ErrDamaged says that the file could not be understood. It was set aside; the store is empty and usable.
var ErrDamaged = errors.New("the record of found interfaces is damaged and was set aside")

// Open reads the records kept in a directory, which it makes if need be. With ErrDamaged the store is
// valid too.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	s := &Store{file: filepath.Join(dir, "found.json"), records: map[string]Record{}}
	b, err := os.ReadFile(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &s.records); err != nil || s.records == nil {
		s.records = map[string]Record{}
		aside := s.file + ".damaged"
		if renameErr := os.Rename(s.file, aside); renameErr != nil {
			return nil, errors.Join(err, renameErr)
		}
		return s, fmt.Errorf("%w as %s: %v", ErrDamaged, aside, err)
	}
	return s, nil
}

// Names returns the interfaces with a record, in order.
func (s *Store) Names() []string { return slices.Sorted(maps.Keys(s.records)) }

// Get returns the record of an interface.
func (s *Store) Get(name string) (Record, bool) {
	r, ok := s.records[name]
	return r, ok
}

// Update sets records and drops others; it returns when they are on disk. On an error nothing changed.
func (s *Store) Update(set map[string]Record, drop []string) error {
	next := maps.Clone(s.records)
	maps.Copy(next, set)
	for _, name := range drop {
		delete(next, name)
	}
	b, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(s.file, append(b, '\n')); err != nil {
		return fmt.Errorf("keeping the record of found interfaces: %w", err)
	}
	s.records = next
	return nil
}

// replaceFile puts new content in place of a file, durably and at once.
func replaceFile(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".found-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(file))
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
