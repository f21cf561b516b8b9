// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/cli/internal/device"
)

const (
	firstPause   = 20 * time.Millisecond
	longestPause = 250 * time.Millisecond
)

// insist calls fn again while the device is not available, for as long as --retry says. Only what may be
// done twice is called so: reading, and Set, which names the state that is wanted.
func (s *session) insist(ctx context.Context, d *device.Device, fn func(context.Context) error) error {
	deadline, pause, tries := time.Now().Add(s.retry), firstPause, 0
	defer func() {
		if s.verbose && tries > 0 {
			fmt.Fprintf(s.Err, "ashlar: tried again %d times\n", tries)
		}
	}()
	for {
		err := s.call(ctx, fn)
		if status.Code(err) != codes.Unavailable || !d.Present() || time.Now().Add(pause).After(deadline) {
			return err
		}
		tries++
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause = min(2*pause, longestPause)
	}
}

func (s *session) call(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return fn(ctx)
}
