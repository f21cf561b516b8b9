// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
)

// grave is what was given up before a grace period began.
type grave struct {
	number      uint64
	blocks      fib.Grave
	adjacencies []uint32
}

// Reclaim frees what transactions gave up, one grace period for all that came together, until ctx ends.
func (e *Engine) Reclaim(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.reclaim:
		}
		e.mu.Lock()
		number := e.bury()
		e.mu.Unlock()
		if number == 0 {
			continue
		}
		if err := e.grace(); err != nil {
			return err
		}
		e.mu.Lock()
		e.release(number)
		e.mu.Unlock()
	}
}

// bury moves what is given up into a grave and returns the newest grave's number, 0 if there is none.
func (e *Engine) bury() uint64 {
	if blocks, adjacencies := e.space.TakeRetired(), e.hops.takeRetired(); len(blocks)+len(adjacencies) > 0 {
		e.graveyard++
		e.graves = append(e.graves, grave{e.graveyard, blocks, adjacencies})
	}
	if len(e.graves) == 0 {
		return 0
	}
	return e.graves[len(e.graves)-1].number
}

// grace waits for packets and for dumps.
func (e *Engine) grace() error {
	if err := e.options.Grace(); err != nil {
		return err
	}
	e.readers.Lock()
	defer e.readers.Unlock()
	return nil
}

// release frees all graves up to a number.
func (e *Engine) release(number uint64) {
	for len(e.graves) > 0 && e.graves[0].number <= number {
		e.space.Release(e.graves[0].blocks)
		e.hops.release(e.graves[0].adjacencies)
		e.graves = e.graves[1:]
	}
}

// reclaimNow waits under the lock, for a transaction that found no room. False if there was nothing to free.
func (e *Engine) reclaimNow() bool {
	number := e.bury()
	if number == 0 {
		return false
	}
	if err := e.grace(); err != nil {
		return false
	}
	e.release(number)
	return true
}
