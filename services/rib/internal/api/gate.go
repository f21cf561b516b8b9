// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"sync"
)

// gate lets streams in until it is shut, and then has those inside leave. The zero gate is open.
type gate struct {
	mu     sync.Mutex
	inside int
	// shutting is closed when the gate shuts, empty when the last one left; both are made with the first one inside.
	shutting, empty chan struct{}
	isShut          bool
}

// enter returns a channel that is closed when the gate shuts, and what to call on leaving; false when it is shut.
func (g *gate) enter() (shutting <-chan struct{}, leave func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isShut {
		return nil, nil, false
	}
	if g.inside == 0 {
		g.shutting, g.empty = make(chan struct{}), make(chan struct{})
	}
	g.inside++
	return g.shutting, g.leave, true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 {
		close(g.empty)
	}
}

// shut returns when nobody is inside. When ctx ends before, the gate is open again.
func (g *gate) shut(ctx context.Context) error {
	g.mu.Lock()
	if !g.isShut && g.inside > 0 {
		close(g.shutting)
	}
	g.isShut = true
	inside, empty := g.inside, g.empty
	g.mu.Unlock()
	if inside == 0 {
		return nil
	}
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		g.open()
		return fmt.Errorf("producers' streams have not ended: %w", ctx.Err())
	}
}

// open lets streams in again. Those that were told to leave still do.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isShut && g.inside > 0 {
		g.shutting = make(chan struct{})
	}
	g.isShut = false
}
