// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"context"
	"errors"
	"fmt"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
)

// observe is the conversation with a caller that only wants to know. It holds no claim and needs no token, and nothing
// waits for its answers: an observer that does not read costs what it has not read, and is cut off when that is much.
func (c *conversation) observe(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Decisions first: what is decided between the two comes twice rather than never.
	decisions := c.house.Observe()
	defer decisions.Close()
	revision, err := c.snapshot()
	if err != nil {
		return err
	}
	caller := c.caller(c.stream.Context())
	c.log.Info("observer attached", "observer", caller, "revision", revision, "patterns", len(c.patterns))
	go func() { cancel(c.hangUp(ctx)) }()
	err = c.tell(ctx, decisions, revision)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	c.log.Info("observer left", "observer", caller, "reason", err)
	return wireError(err)
}

// hangUp drops the observer's answers and returns why the stream must end.
func (c *conversation) hangUp(ctx context.Context) error {
	for {
		select {
		case got := <-c.in:
			if got.err != nil {
				return got.err
			}
		case <-c.over:
			return errOver
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tell sends each decision after the snapshot's that changes something on the patterns.
func (c *conversation) tell(ctx context.Context, decisions Decisions, snapshot int64) error {
	for {
		revision, changes, err := decisions.Next(ctx, c.patterns)
		switch {
		case errors.Is(err, ErrSlow):
			return fmt.Errorf("this observer is %w", err)
		case err != nil:
			return err
		case revision <= snapshot || len(changes) == 0:
			continue
		}
		apply := &configv1.Apply{Transaction: uint64(revision), Revision: revision, Changes: changes}
		if err := c.stream.Send(&configv1.AttachResponse{Message: &configv1.AttachResponse_Apply{Apply: apply}}); err != nil {
			return err
		}
	}
}
