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
	"reflect"
	"slices"
)

// Store keeps the records in one file. It is not safe for concurrent use.
type Store struct {
	file    string
	records map[string]Record
}

// ErrDamaged says that the file could not be understood. It was set aside; the store is empty and usable.
var ErrDamaged = errors.New("the record of found interfaces is damaged and was set aside")

// New returns a store that is empty until Load.
func New(dir string) *Store {
	return &Store{file: filepath.Join(dir, "found.json"), records: map[string]Record{}}
}

// Open is New and Load.
func Open(dir string) (*Store, error) {
	s := New(dir)
	err := s.Load()
	if err != nil && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	return s, err
}

// Load reads the records kept in the store's directory, which it makes if need be. Only who has the right to write
// the file may call it. With ErrDamaged the store is usable too.
func (s *Store) Load() error {
	if err := os.MkdirAll(filepath.Dir(s.file), 0o750); err != nil {
		return err
	}
	b, err := os.ReadFile(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	records := map[string]Record{}
	if err := json.Unmarshal(b, &records); err != nil || records == nil {
		aside := s.file + ".damaged"
		if renameErr := os.Rename(s.file, aside); renameErr != nil {
			return errors.Join(err, renameErr)
		}
		return fmt.Errorf("%w as %s: %v", ErrDamaged, aside, err)
	}
	s.records = records
	return nil
}

// Adopt makes records all there are. Those of the file are the same but for one that was damaged.
func (s *Store) Adopt(records map[string]Record) error {
	if reflect.DeepEqual(s.records, records) {
		return nil
	}
	var drop []string
	for name := range s.records {
		if _, kept := records[name]; !kept {
			drop = append(drop, name)
		}
	}
	return s.Update(records, drop)
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
