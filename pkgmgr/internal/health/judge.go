// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package health

import "time"

// Judge decides from calls and answers whether a process is alive. It reads no clock. One goroutine
// uses it.
//
// A process is hung when Failures calls in a row have no good answer and the first of them is older
// than Timeout. Calls go on every interval while earlier ones wait, so a stopped process is found
// after Timeout plus at most one interval.
type Judge struct {
	Timeout  time.Duration
	Failures int

	next    uint64
	pending map[uint64]time.Time
	failed  int
	// first is when the oldest call without a good answer was made.
	first time.Time
}

// Call notes that a call was made and returns its number.
func (j *Judge) Call(now time.Time) uint64 {
	if j.pending == nil {
		j.pending = map[uint64]time.Time{}
	}
	if j.missed() == 0 {
		j.first = now
	}
	j.next++
	j.pending[j.next] = now
	return j.next
}

// Waiting is how many calls have no answer yet.
func (j *Judge) Waiting() int { return len(j.pending) }

// Answer notes the end of a call. A good one clears everything that was asked before it.
func (j *Judge) Answer(call uint64, good bool) {
	if _, ok := j.pending[call]; !ok {
		return
	}
	delete(j.pending, call)
	if !good {
		j.failed++
		return
	}
	j.failed = 0
	j.first = time.Time{}
	for n, at := range j.pending {
		if n < call {
			delete(j.pending, n)
		} else if j.first.IsZero() || at.Before(j.first) {
			j.first = at
		}
	}
}

// Forgive forgets what is unanswered, as when the judge itself was not running.
func (j *Judge) Forgive() {
	clear(j.pending)
	j.failed = 0
}

// Hung gives the verdict.
func (j *Judge) Hung(now time.Time) bool {
	return j.missed() >= j.Failures && now.Sub(j.first) >= j.Timeout
}

func (j *Judge) missed() int { return j.failed + len(j.pending) }
