// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owner

import (
	"context"
	"errors"
	"testing"
	"time"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestFreezeWaitsForWhatIsUnderWay(t *testing.T) {
	var turns turns
	if err := turns.begin(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	frozen := make(chan error, 1)
	ctx := within(t, time.Minute)
	go func() { frozen <- turns.freeze(ctx) }()
	for turns.begin(within(t, time.Millisecond)) == nil { // until the freeze has begun
		turns.end()
	}
	select {
	case err := <-frozen:
		t.Fatalf("frozen with a transaction under way: %v", err)
	default:
	}
	turns.end()
	if err := <-frozen; err != nil {
		t.Fatal(err)
	}
	if err := turns.freeze(ctx); err != nil {
		t.Errorf("freezing twice: %v", err)
	}
	begun := make(chan error, 1)
	go func() { begun <- turns.begin(ctx) }()
	turns.thaw()
	if err := <-begun; err != nil {
		t.Errorf("what waited does not go on: %v", err)
	}
	turns.end()
	turns.thaw() // nothing to take back
}

func TestFreezeGivesUp(t *testing.T) {
	var turns turns
	if err := turns.begin(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := turns.freeze(within(t, time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := turns.begin(within(t, time.Minute)); err != nil {
		t.Errorf("frozen after all: %v", err)
	}
	turns.end()
	turns.end()
	if err := turns.freeze(within(t, time.Minute)); err != nil {
		t.Error(err)
	}
}
