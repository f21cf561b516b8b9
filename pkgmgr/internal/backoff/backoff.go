// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package backoff says how long to wait before a process that died is started again. It never gives up.
// It is pure arithmetic: it reads no clock and starts no timer. One goroutine uses a Backoff.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Stable is how long a process must have been ready for its death to be the first of a new series.
const Stable = 10 * time.Second

// jitter is the share by which a pause is lengthened or shortened at random, so that processes that
// died together do not come back together.
const jitter = 0.2

// Backoff counts the deaths of one process.
type Backoff struct {
	Min, Max time.Duration
	deaths   int
}

// Death describes the end of a run.
type Death struct {
	// Ready is how long the process had been ready, 0 if it never was.
	Ready time.Duration
	// Foreign: it was ready and someone else killed it, so its own health says nothing against it.
	Foreign bool
}

// Next returns the pause before the next start: none after a healthy run or a foreign kill, then Min,
// doubling up to Max.
func (b *Backoff) Next(d Death) time.Duration {
	if d.Ready >= Stable {
		b.deaths = 0
	} else if !d.Foreign {
		b.deaths++
	}
	if b.deaths == 0 || d.Foreign {
		return 0
	}
	pause := b.Min
	for i := 1; i < b.deaths && pause < b.Max; i++ {
		pause *= 2
	}
	pause = min(pause, b.Max)
	return min(b.Max, time.Duration(float64(pause)*(1-jitter+2*jitter*rand.Float64())))
}

// Reset forgets earlier deaths, as after a restart by the operator.
func (b *Backoff) Reset() { b.deaths = 0 }
