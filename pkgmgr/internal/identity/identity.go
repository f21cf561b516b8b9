// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package identity gives every component a user id of its own and remembers it for the life of the
// device, so that files keep their owner across upgrades and restarts. An id is never given twice.
package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/durable"
)

const (
	// defaultBase lies above the ranges that distributions give to people, services and containers.
	defaultBase = 730000
	defaultSize = 1000
)

// Users is the range and what was given out of it. It is safe for concurrent use.
type Users struct {
	file string
	mu   sync.Mutex
	data content
}

type content struct {
	Base     uint32            `json:"base"`
	Size     uint32            `json:"size"`
	Assigned map[string]uint32 `json:"assigned"`
}

// Open reads the range, or begins the default one when the file does not exist. A damaged file is an
// error: guessing would give one component the files of another.
func Open(file string) (*Users, error) {
	u := &Users{file: file, data: content{Base: defaultBase, Size: defaultSize, Assigned: map[string]uint32{}}}
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return nil, fmt.Errorf("user ids: %w", err)
	}
	if err := json.Unmarshal(b, &u.data); err != nil {
		return nil, fmt.Errorf("user ids: %s: %w", file, err)
	}
	if u.data.Assigned == nil {
		u.data.Assigned = map[string]uint32{}
	}
	if u.data.Base == 0 || u.data.Size == 0 {
		return nil, fmt.Errorf("user ids: %s: base and size must not be 0", file)
	}
	return u, nil
}

// ID returns the component's user id, which is also its group id. A new one is durable before it is returned.
func (u *Users) ID(component string) (uint32, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if id, ok := u.data.Assigned[component]; ok {
		return id, nil
	}
	next := u.data.Base
	for _, id := range u.data.Assigned {
		next = max(next, id+1)
	}
	if next-u.data.Base >= u.data.Size {
		return 0, fmt.Errorf("user ids: the range %d to %d is used up; give it a larger size in %s", u.data.Base, u.data.Base+u.data.Size-1, u.file)
	}
	u.data.Assigned[component] = next
	if err := durable.WriteJSON(u.file, u.data, 0o644); err != nil {
		delete(u.data.Assigned, component)
		return 0, fmt.Errorf("user ids: %w", err)
	}
	return next, nil
}
