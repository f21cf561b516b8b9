// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package grace waits until every packet that was inside the XDP program has left it.
//
// XDP runs inside an RCU read-side section, and membarrier(GLOBAL) is a grace period of RCU. Where the
// kernel refuses it (a CPU runs tickless), replacing a map in a map of maps waits for the same.
package grace

import (
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const membarrierGlobal = 1

// Waiter waits for grace periods. It is safe for concurrent use.
type Waiter struct {
	mu    sync.Mutex
	outer *ebpf.Map // in place of membarrier; nil while that works
	inner *ebpf.Map
}

// Wait returns after a grace period that began after the call. It takes milliseconds.
func (w *Waiter) Wait() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.outer == nil {
		if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno == 0 {
			return nil
		}
		if err := w.fallBack(); err != nil {
			return err
		}
	}
	if err := w.outer.Put(uint32(0), w.inner); err != nil {
		return fmt.Errorf("wait for a grace period: %w", err)
	}
	return nil
}

func (w *Waiter) fallBack() error {
	inner := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	m, err := ebpf.NewMap(inner)
	if err != nil {
		return fmt.Errorf("make the inner map for grace periods: %w", err)
	}
	o, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ArrayOfMaps, KeySize: 4, MaxEntries: 1, InnerMap: inner})
	if err != nil {
		_ = m.Close()
		return fmt.Errorf("make the outer map for grace periods: %w", err)
	}
	w.outer, w.inner = o, m
	return nil
}

// Close releases what Wait made.
func (w *Waiter) Close() {
	if w.outer != nil {
		_ = w.outer.Close()
		_ = w.inner.Close()
	}
}
