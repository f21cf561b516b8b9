// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"sync"
)

// token is the fencing token: a number that only grows and gives the right to write.
type token struct {
	mu     sync.Mutex
	value  uint64
	active chan struct{}
}

func newToken() *token { return &token{active: make(chan struct{})} }

// raise takes a newer token. The same one again is no change; an older one is an error.
func (t *token) raise(value uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if value < t.value || value == 0 {
		return fmt.Errorf("token %d is older than %d, which this process already has", value, t.value)
	}
	if t.value == 0 {
		close(t.active)
	}
	t.value = value
	return nil
}

func (t *token) current() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.value
}

func (t *token) wait(ctx context.Context) (uint64, error) {
	select {
	case <-t.active:
		return t.current(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("not activated by the supervisor: %w", ctx.Err())
	}
}
