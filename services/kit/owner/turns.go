// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owner

import (
	"context"
	"fmt"
	"sync"
)

// turns counts the transactions that are under way, from the question whether they can be until they are in
// effect or given up, and keeps new ones waiting while it is frozen.
type turns struct {
	mu     sync.Mutex
	open   int
	idle   chan struct{} // closed when open falls to 0; nil while nobody waits
	thawed chan struct{} // closed by thaw; nil while not frozen
}

// begin waits until a transaction may begin. Each one that began ends with end.
func (t *turns) begin(ctx context.Context) error {
	for {
		t.mu.Lock()
		thawed := t.thawed
		if thawed == nil {
			t.open++
		}
		t.mu.Unlock()
		if thawed == nil {
			return nil
		}
		select {
		case <-thawed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open--; t.open == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// freeze returns when nothing is under way; when ctx ends before, all is as it was.
func (t *turns) freeze(ctx context.Context) error {
	idle := t.stop()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		t.thaw()
		return fmt.Errorf("a transaction of the configuration is still under way: %w", ctx.Err())
	}
}

func (t *turns) stop() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.thawed == nil {
		t.thawed = make(chan struct{})
	}
	if t.open == 0 {
		none := make(chan struct{})
		close(none)
		return none
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	return t.idle
}

func (t *turns) thaw() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.thawed != nil {
		close(t.thawed)
		t.thawed = nil
	}
}
