// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package backoff_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/backoff"
)

const (
	shortest = 100 * time.Millisecond
	longest  = 30 * time.Second
)

// near allows for the jitter.
func near(got, want time.Duration) bool {
	return got >= want*8/10 && got <= want*12/10
}

func TestGrowsAndResets(t *testing.T) {
	b := backoff.Backoff{Min: shortest, Max: longest}
	never := backoff.Death{}
	for i, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000} {
		want *= time.Millisecond
		if got := b.Next(never); !near(got, want) {
			t.Errorf("pause %d is %v, want about %v", i, got, want)
		}
	}
	if got := b.Next(backoff.Death{Ready: backoff.Stable}); got != 0 {
		t.Errorf("after a healthy run the pause is %v", got)
	}
	if got := b.Next(never); !near(got, shortest) {
		t.Errorf("the first crash of a new series has the pause %v", got)
	}
}

func TestForeignKillsDoNotCount(t *testing.T) {
	b := backoff.Backoff{Min: shortest, Max: longest}
	for range 100 {
		if got := b.Next(backoff.Death{Ready: time.Millisecond, Foreign: true}); got != 0 {
			t.Fatalf("pause %v", got)
		}
	}
	if got := b.Next(backoff.Death{}); !near(got, shortest) {
		t.Errorf("pause %v", got)
	}
}

func TestStaysInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := backoff.Backoff{Min: shortest, Max: longest}
		for range rapid.IntRange(1, 2000).Draw(t, "deaths") {
			d := backoff.Death{
				Ready:   time.Duration(rapid.Int64Range(0, int64(2*backoff.Stable)).Draw(t, "ready")),
				Foreign: rapid.Bool().Draw(t, "foreign"),
			}
			if got := b.Next(d); got < 0 || got > longest {
				t.Fatalf("pause %v", got)
			}
		}
	})
}
