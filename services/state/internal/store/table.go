// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ashlar-nos/ashlar/services/state/internal/schema"
)

// Table is a declared table. It is not changed once it was made.
type Table struct {
	Name   string
	Writer string
	Type   *schema.Type
	// revision of the declaration in etcd.
	revision int64
}

// declaration is how a table is kept in etcd.
type declaration struct {
	Writer        string `json:"writer"`
	MessageType   string `json:"message_type"`
	DescriptorSet []byte `json:"descriptor_set"`
}

// tables is the cache of declarations. declaring is held while one is changed.
type tables struct {
	declaring sync.Mutex
	mu        sync.RWMutex
	byName    map[string]*Table
}

// reservedPrefix begins the names of the store's own tables.
const reservedPrefix = Owner + "."

// nameForm is what DeclareTableRequest.name documents.
var nameForm = regexp.MustCompile("^[a-z0-9][a-z0-9.-]*$")

func (s *Store) loadTables(ctx context.Context) error {
	s.tables.byName = map[string]*Table{}
	return s.scan(ctx, tablesPrefix, prefixEnd(tablesPrefix), 0, func(p page) error {
		for _, kv := range p.rows {
			var d declaration
			name := string(kv.Key[len(tablesPrefix):])
			if err := json.Unmarshal(kv.Value, &d); err != nil {
				return fmt.Errorf("table %q: %w", name, err)
			}
			t, err := schema.Parse(d.MessageType, d.DescriptorSet)
			if err != nil {
				return fmt.Errorf("table %q: %w", name, err)
			}
			s.tables.byName[name] = &Table{Name: name, Writer: d.Writer, Type: t, revision: kv.ModRevision}
		}
		return nil
	})
}

// Table returns a declared table.
func (s *Store) Table(name string) (*Table, error) {
	s.tables.mu.RLock()
	defer s.tables.mu.RUnlock()
	t, ok := s.tables.byName[name]
	if !ok {
		return nil, fmt.Errorf("table %q: %w: its writer has not declared it", name, ErrNoTable)
	}
	return t, nil
}

// Tables returns all tables, ordered by name.
func (s *Store) Tables() []*Table {
	s.tables.mu.RLock()
	defer s.tables.mu.RUnlock()
	out := make([]*Table, 0, len(s.tables.byName))
	for _, t := range s.tables.byName {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *Table) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Declare registers a table whose writer is the caller. The type may gain fields in a later declaration;
// an older one, of a writer that was rolled back, leaves the newer in force.
func (s *Store) Declare(ctx context.Context, caller, name, messageType string, descriptorSet []byte) error {
	switch {
	case len(name) > maxTableNameBytes || !nameForm.MatchString(name):
		return fmt.Errorf("table %q: %w name: want lower-case letters, digits, \"-\" and \".\", at most %d bytes", name, ErrInvalid, maxTableNameBytes)
	case (len(name) > len(reservedPrefix) && name[:len(reservedPrefix)] == reservedPrefix) != (caller == Owner):
		return fmt.Errorf("table %q: %w: tables whose names begin with %q belong to the store", name, ErrNotWriter, reservedPrefix)
	case len(descriptorSet) > maxDescriptorBytes:
		return fmt.Errorf("table %q: %w: descriptor_set of %d bytes, the limit is %d (descriptor bytes)", name, ErrLimit, len(descriptorSet), maxDescriptorBytes)
	}
	leave, err := s.gate.enter()
	if err != nil {
		return err
	}
	defer leave()
	t, err := schema.Parse(messageType, descriptorSet)
	if err != nil {
		return fmt.Errorf("table %q: %w type: %w", name, ErrInvalid, err)
	}
	s.tables.declaring.Lock()
	defer s.tables.declaring.Unlock()
	return s.declare(ctx, &Table{Name: name, Writer: caller, Type: t})
}

func (s *Store) declare(ctx context.Context, want *Table) error {
	have, err := s.Table(want.Name)
	if errors.Is(err, ErrNoTable) {
		if n := len(s.Tables()); n >= maxTables {
			return fmt.Errorf("table %q: %w: there are %d tables (tables)", want.Name, ErrLimit, n)
		}
		return s.keepTable(ctx, want)
	}
	if have.Writer != want.Writer {
		return fmt.Errorf("table %q: %w: %s declared it", want.Name, ErrNotWriter, have.Writer)
	}
	kept, err := schema.Newer(have.Type, want.Type)
	if err != nil {
		return fmt.Errorf("table %q: %w: %w", want.Name, ErrIncompatible, err)
	}
	if kept == have.Type {
		return nil
	}
	want.revision = have.revision
	return s.keepTable(ctx, want)
}

func (s *Store) keepTable(ctx context.Context, t *Table) error {
	value, err := json.Marshal(declaration{Writer: t.Writer, MessageType: t.Type.Name(), DescriptorSet: t.Type.DescriptorSet()})
	if err != nil {
		return fmt.Errorf("table %q: %w", t.Name, err)
	}
	key := tableKey(t.Name)
	resp, err := s.kv().Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", t.revision)).
		Then(clientv3.OpPut(key, string(value))).Commit()
	if err != nil {
		return fmt.Errorf("table %q: %w", t.Name, explain(err))
	}
	if !resp.Succeeded {
		return fmt.Errorf("table %q: %w: it was declared elsewhere meanwhile", t.Name, ErrUnavailable)
	}
	t.revision = resp.Header.Revision
	s.tables.mu.Lock()
	defer s.tables.mu.Unlock()
	s.tables.byName[t.Name] = t
	s.wrote()
	return nil
}
