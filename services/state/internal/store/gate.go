// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"sync"
)

// gate counts calls in flight, so that the engine ends after them.
type gate struct {
	mu     sync.Mutex
	active sync.WaitGroup
	// life ends when the gate closes; watches end with it, other calls finish.
	life context.Context
	end  context.CancelFunc
}

func newGate() *gate {
	life, end := context.WithCancel(context.Background())
	return &gate{life: life, end: end}
}

// enter admits a call. The caller runs leave at its end.
func (g *gate) enter() (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.life.Err() != nil {
		return nil, fmt.Errorf("%w: it is about to end; its successor serves in a moment", ErrUnavailable)
	}
	g.active.Add(1)
	return g.active.Done, nil
}

// Drain refuses new calls, ends watches and waits for calls in flight until ctx ends. The engine may be closed
// afterwards.
func (s *Store) Drain(ctx context.Context) {
	s.gate.mu.Lock()
	s.gate.end()
	s.gate.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		s.gate.active.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
