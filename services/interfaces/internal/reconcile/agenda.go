// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"sync"
	"time"
)

const (
	// Repairs of one interface in quick succession are spaced by a pause that doubles from shortHold to
	// longHold, so that two that fight over it cost little. It starts anew after calm.
	shortHold = 2 * time.Millisecond
	longHold  = 500 * time.Millisecond
	calm      = 2 * time.Second
)

// agenda is what to look at and when. Marking an interface twice is looking once. Safe for concurrent use.
type agenda struct {
	mu    sync.Mutex
	due   map[string]time.Time
	all   bool
	holds map[string]hold
	wake  chan struct{}
}

type hold struct {
	pause time.Duration
	until time.Time
}

func newAgenda() *agenda {
	return &agenda{due: map[string]time.Time{}, holds: map[string]hold{}, wake: make(chan struct{}, 1)}
}

// mark asks to look at an interface at a time, or later while it is held.
func (a *agenda) mark(name string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h := a.holds[name]; at.Before(h.until) {
		at = h.until
	}
	if old, ok := a.due[name]; ok && !at.Before(old) {
		return
	}
	a.due[name] = at
	a.signal()
}

// markAll asks to look at everything.
func (a *agenda) markAll(time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = true
	a.signal()
}

func (a *agenda) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// hold keeps an interface that was just repaired from being looked at too soon.
func (a *agenda) hold(name string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.holds[name]
	if now.Sub(h.until) > calm {
		h.pause = 0
	}
	h.pause = min(longHold, max(shortHold, 2*h.pause))
	h.until = now.Add(h.pause)
	a.holds[name] = h
}

// wait returns the interfaces that are due, or all; false when ctx ended.
func (a *agenda) wait(ctx context.Context) (names []string, all, ok bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		names, all, next := a.take(time.Now())
		if len(names) > 0 || all {
			return names, all, ctx.Err() == nil
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return nil, false, false
		case <-a.wake:
		case <-timer.C:
		}
	}
}

// take removes what is due, and says how long it is until something else is.
func (a *agenda) take(now time.Time) (names []string, all bool, next time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all, a.all = a.all, false
	next = time.Hour
	for name, at := range a.due {
		if wait := at.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		names = append(names, name)
		delete(a.due, name)
	}
	return names, all, next
}
