// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
)

// errTooFarBack says that the watch cannot resume where it began.
var errTooFarBack = errors.New("the state store no longer has the history since the last look")

// Peek reads everything at one moment. It needs no token, writes nothing, and may be called at any time, by anybody,
// beside the one caller of the other methods.
func (s *Store) Peek(ctx context.Context) (Contents, error) {
	r, err := s.readAll(ctx)
	if err != nil {
		return Contents{}, err
	}
	return r.contents, nil
}

// Follow peeks at once, and again whenever the head has moved, until ctx ends, fn returns an error or the state store
// ends the watch. What moved more than once between two looks is seen once.
func (s *Store) Follow(ctx context.Context, fn func(Contents) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := s.readAll(ctx)
	if err != nil {
		return err
	}
	if err := fn(r.contents); err != nil {
		return err
	}
	watch, err := s.state.Watch(ctx, &statev1.WatchRequest{Table: headTable, KeyPrefix: headKey, FromRevision: r.at})
	if err != nil {
		return fmt.Errorf("watch %s: %w", headTable, err)
	}
	for {
		message, err := watch.Recv()
		switch {
		case err != nil:
			return fmt.Errorf("watch %s: %w", headTable, err)
		case message.GetCompacted() != nil:
			return errTooFarBack
		case message.GetEvents().GetRevision() <= r.at:
			continue
		}
		if r, err = s.readAll(ctx); err != nil {
			return err
		}
		if err := fn(r.contents); err != nil {
			return err
		}
	}
}
