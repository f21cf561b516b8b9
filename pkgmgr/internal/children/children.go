// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package children is the record of running processes that lets a new supervisor adopt what a dead one
// left. Each change is on disk before the call returns. A Book is safe for concurrent use.
package children

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/durable"
)

// ErrDamaged is returned for a record that does not parse.
var ErrDamaged = errors.New("record of processes is damaged")

// Book is the record of all components.
type Book struct {
	file string
	mu   sync.Mutex
	data content
}

type content struct {
	// BootID is the kernel's random id of this boot: process numbers mean nothing in another one.
	BootID   string           `json:"boot_id"`
	Children map[string]Child `json:"children"`
	// Supervisor is there while another program of the supervisor's is on trial.
	Supervisor *Succession `json:"supervisor,omitempty"`
}

// Succession says which program of the supervisor took the place of which.
type Succession struct {
	// Tree runs, From ran before.
	Tree string `json:"tree"`
	From string `json:"from"`
}

// Open reads the record. After a reboot no process in it runs. A record that cannot be read is an error:
// starting a second process beside a living one would break the rule of one writer.
func Open(file string) (*Book, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	b := &Book{file: file, data: content{BootID: boot, Children: map[string]Child{}}}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("record of processes: %w", err)
	}
	var old content
	if err := json.Unmarshal(text, &old); err != nil {
		return nil, fmt.Errorf("%w: %s: %w; stop the device with `ashlard clean` and start it again", ErrDamaged, file, err)
	}
	if old.BootID == boot {
		b.data.Supervisor = old.Supervisor
	}
	for name, c := range old.Children {
		if old.BootID != boot {
			c = c.afterReboot()
		}
		b.data.Children[name] = c
	}
	return b, nil
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("record of processes: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Get returns what is known of a component, zero when nothing is.
func (b *Book) Get(component string) Child {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Children[component]
}

// All returns a copy of the record.
func (b *Book) All() map[string]Child {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.data.Children)
}

// Succession returns what is known of the supervisor's own trial, nil when there is none.
func (b *Book) Succession() *Succession {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Supervisor
}

// Succeed records the supervisor's own trial, or with nil its end.
func (b *Book) Succeed(s *Succession) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data.Supervisor = s
	return b.write()
}

// HighestToken is the highest fencing token in the record.
func (b *Book) HighestToken() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var highest uint64
	for _, c := range b.data.Children {
		for _, p := range c.Processes() {
			highest = max(highest, p.Token)
		}
	}
	return highest
}

// Change applies fn to a component's entry and returns the new one. When the record cannot be written
// the entry is changed in memory all the same, and the error says that a new supervisor will not know.
func (b *Book) Change(component string, fn func(*Child)) (Child, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.data.Children[component]
	fn(&c)
	b.data.Children[component] = c
	return c, b.write()
}

// Forget removes a component that is no longer part of the device.
func (b *Book) Forget(component string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.data.Children, component)
	return b.write()
}

func (b *Book) write() error {
	if err := durable.WriteJSON(b.file, b.data, 0o600); err != nil {
		return fmt.Errorf("record of processes: %w", err)
	}
	return nil
}
