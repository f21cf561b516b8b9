// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"sync"
)

// monitor is a lock whose users can wait for a condition to hold, and give up when a context ends.
type monitor struct {
	mu      sync.Mutex
	changed chan struct{} // nil while nobody waits
}

// update makes a change under the lock; all who wait look again.
func (m *monitor) update(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
	m.wake()
}

func (m *monitor) wake() {
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// until waits until the condition holds and then makes a change, in one step. After an error nothing is changed.
func (m *monitor) until(ctx context.Context, holds func() bool, change func()) error {
	for {
		changed := m.try(holds, change)
		if changed == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// try returns nil when the condition held, else what is closed at the next change.
func (m *monitor) try(holds func() bool, change func()) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if holds() {
		change()
		m.wake()
		return nil
	}
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return m.changed
}

func nothing() {}
