// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"errors"
	"sync"
	"time"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// maxQueued is how many different leaves may wait for one watcher. Leaves that live are fewer than this on
// any device we know; it is leaves that come and go, such as routes, that would add up.
const maxQueued = 1 << 19

// ErrSlow ends a watcher whose queue reached its limit.
var ErrSlow = errors.New("too slow: more changes wait than can be kept")

// Event is a leaf's newest value; none means that the leaf is gone.
type Event struct {
	Path  schema.Path
	Value schema.Value
	At    time.Time
	// Duplicates is how many earlier values were never told.
	Duplicates uint32

	key string
}

// Watcher is a queue of events, one for each leaf. Its reader is one goroutine.
type Watcher struct {
	feed    *Feed
	changed chan struct{}
	// seen is guarded by the feed's lock.
	seen  uint64
	dirty bool

	mu     sync.Mutex
	places map[string]int
	queue  []Event
	limit  int
	err    error
}

func newWatcher(f *Feed) *Watcher {
	return &Watcher{feed: f, changed: make(chan struct{}, 1), places: map[string]int{}, limit: maxQueued}
}

// Changed receives when there is something to Take.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Take empties the queue, oldest change first. The error is ErrSlow.
func (w *Watcher) Take() ([]Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.queue
	w.queue = nil
	clear(w.places)
	return queue, w.err
}

// Close ends the watch.
func (w *Watcher) Close() {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.watchers.remove(w)
}

// add is called with the feed's lock held.
func (w *Watcher) add(e Event) {
	if !w.dirty {
		w.dirty = true
		w.feed.watchers.dirty = append(w.feed.watchers.dirty, w)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if i, waits := w.places[e.key]; waits {
		e.Duplicates = w.queue[i].Duplicates + 1
		w.queue[i] = e
		return
	}
	if len(w.queue) >= w.limit {
		w.err = ErrSlow
		return
	}
	w.places[e.key] = len(w.queue)
	w.queue = append(w.queue, e)
}

func (w *Watcher) wake() {
	w.dirty = false
	select {
	case w.changed <- struct{}{}:
	default:
	}
}
