// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package retry runs work that must go on until its context ends.
package retry

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	// Shortest and Longest bound the pause between two tries.
	Shortest = 50 * time.Millisecond
	Longest  = time.Second
	// settled is how long a try must have lasted for the pauses to begin again at Shortest.
	settled = 5 * time.Second
)

// Forever runs fn again and again until ctx ends, with growing, jittered pauses between tries. It logs
// why a try ended, repeated reasons once. It returns ctx's error.
func Forever(ctx context.Context, log *slog.Logger, what string, fn func(context.Context) error) error {
	pause, told := Shortest, ""
	for ctx.Err() == nil {
		began := time.Now()
		err := fn(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > settled {
			pause, told = Shortest, ""
		}
		if text := reason(err); text != told {
			log.Warn("will try again", "what", what, "reason", text)
			told = text
		}
		sleep(ctx, pause/2+rand.N(pause/2))
		pause = min(2*pause, Longest)
	}
	return ctx.Err()
}

func reason(err error) string {
	if err == nil {
		return "ended"
	}
	return err.Error()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
