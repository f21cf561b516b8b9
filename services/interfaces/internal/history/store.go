// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package history remembers when each interface last changed its operational state, so that a restart of
// the daemon does not look like a change of the interface. What it forgets, in a crash or with a damaged
// file, costs nothing but that: it is written now and then, never waited for.
package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// delay gathers the changes of a flapping link into one write.
const delay = time.Second

// Operation is what counts as an operational state. Two that are equal are one state that lasted.
type Operation struct {
	// Identity and Index name the link, as in package found; zero while it does not exist.
	Identity string `json:"identity,omitempty"`
	Index    int    `json:"index,omitempty"`
	Up       bool   `json:"up,omitempty"`
	Carrier  bool   `json:"carrier,omitempty"`
	// Changes is the kernel's count of carrier changes: it tells of those that nobody saw.
	Changes int `json:"changes,omitempty"`
}

type entry struct {
	Operation
	At time.Time `json:"at"`
}

// Store keeps the newest change of each interface. Safe for concurrent use.
type Store struct {
	file string
	log  *slog.Logger

	mu      sync.Mutex
	entries map[string]entry
	changed chan struct{}
}

// New returns a store that remembers nothing before Load or Import.
func New(dir string, log *slog.Logger) *Store {
	return &Store{file: filepath.Join(dir, "history.json"), log: log, entries: map[string]entry{}, changed: make(chan struct{}, 1)}
}

// Load reads what the directory keeps; what cannot be read is as if it had never been.
func (s *Store) Load() {
	b, err := os.ReadFile(s.file)
	if err == nil {
		err = s.Import(b)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("the times of interfaces' last changes are lost", "error", err)
	}
}

// Export returns all that is remembered.
func (s *Store) Export() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return json.Marshal(s.entries)
}

// Import makes what Export returned all that is remembered. After an error nothing has changed.
func (s *Store) Import(b []byte) error {
	var entries map[string]entry
	if err := json.Unmarshal(b, &entries); err != nil {
		return fmt.Errorf("history of interfaces: %w", err)
	}
	if entries == nil {
		return errors.New("history of interfaces: there is none")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = entries
	s.touch()
	return nil
}

// Since returns when the interface came into the state: the time remembered if it was in it already, else now.
func (s *Store) Since(name string, o Operation, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries[name]; ok && e.Operation == o {
		return e.At
	}
	s.entries[name] = entry{o, now}
	s.touch()
	return now
}

// Forget drops an interface.
func (s *Store) Forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.entries[name]; ok {
		delete(s.entries, name)
		s.touch()
	}
}

func (s *Store) touch() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run writes changes until ctx ends, then what is left.
func (s *Store) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			s.write()
			return
		case <-s.changed:
		}
		t := time.NewTimer(delay)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		s.write()
	}
}

func (s *Store) write() {
	b, err := s.Export()
	if err == nil {
		err = os.WriteFile(s.file+".new", b, 0o640)
	}
	if err == nil {
		err = os.Rename(s.file+".new", s.file)
	}
	if err != nil {
		s.log.Warn("the times of interfaces' last changes are not kept", "error", err)
	}
}
