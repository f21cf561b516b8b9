// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/feed"
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

// stream sends the state, then what changes and what is due, until the client ends the call. Sampling and
// heartbeats read the present moment, so a slow reader skips samples instead of queueing them.
func (s *Server) stream(stream subscribeStream, list *subscriptionList, out *sender) error {
	ended := listen(stream)
	watcher, view := s.feed.Watch(onChangePaths(list))
	defer watcher.Close()
	plan := newPlan(list, time.Now())
	if !list.updatesOnly {
		snapshot(view, list, out)
		plan.remember(view, out.unknown)
	}
	if err := out.sync(); err != nil {
		return err
	}
	timer := time.NewTimer(plan.wait(time.Now()))
	defer timer.Stop()
	for {
		select {
		case <-watcher.Changed():
			if err := s.drain(watcher, out); err != nil {
				return err
			}
		case <-timer.C:
			plan.run(time.Now(), s.feed.View(), out)
			if err := out.flush(); err != nil {
				return err
			}
			timer.Reset(plan.wait(time.Now()))
		case err := <-ended:
			return err
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// drain sends what waits for a subscriber.
func (s *Server) drain(watcher *feed.Watcher, out *sender) error {
	events, err := watcher.Take()
	for _, e := range events {
		if !out.event(e) {
			break
		}
	}
	if sent := out.flush(); sent != nil {
		return sent
	}
	if err != nil {
		s.metrics.slow.Inc()
		return status.Errorf(codes.ResourceExhausted, "this subscriber is %v", err)
	}
	return nil
}

// onChangePaths are the paths whose changes are sent as they happen.
func onChangePaths(list *subscriptionList) []schema.Path {
	var out []schema.Path
	for _, entry := range list.entries {
		if entry.sample == 0 {
			out = append(out, entry.paths...)
		}
	}
	return out
}
