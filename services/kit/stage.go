// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// How long a freeze or a drain waits for clients. A client that is alive answers within its round trip.
const (
	// freezePatience is for the answer to GOAWAY. Calls that come later wait.
	freezePatience = 250 * time.Millisecond
	// drainSilence and drainPatience are the same for a drain, which must be over soon.
	drainSilence  = 100 * time.Millisecond
	drainPatience = 500 * time.Millisecond
	// defaultFreeze is the limit of a freeze that names none.
	defaultFreeze = time.Second
)

// stage is where the component's clients meet it: its fronts and its metrics. It opens with the token, closes while the
// component is frozen, and ends with the drain. The lock is held through each of these moves, one at a time.
type stage struct {
	rt    *Runtime
	calls *calls

	mu      sync.Mutex
	fronts  []*Front
	metrics *exposition
	// open: the fronts accept, or will when the service opens them.
	open, frozen bool

	drainOnce sync.Once
	draining  chan struct{}
	// drainLimit is what was asked for; 0: the manifest's.
	drainLimit time.Duration
}

func newStage(rt *Runtime) *stage {
	return &stage{rt: rt, calls: newCalls(rt.Manifest.Name), metrics: newExposition(rt), draining: make(chan struct{})}
}

func (s *stage) add(f *Front) *Front {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fronts = append(s.fronts, f)
	f.allowed = s.open
	return f
}

// enter lets clients in, at the first token. A frozen or draining component stays closed.
func (s *stage) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open || s.frozen || s.isDraining() {
		return nil
	}
	return s.reopen()
}

// reopen lets clients in. The lock is held.
func (s *stage) reopen() error {
	s.open = true
	s.calls.release()
	errs := []error{s.metrics.resume()}
	for _, f := range s.fronts {
		errs = append(errs, f.allow())
	}
	return errors.Join(errs...)
}

// close keeps new clients out and sends connected ones away. It returns when none begins a call any more, or ctx ends.
// The lock is held.
func (s *stage) close(ctx context.Context, silence, patience time.Duration) error {
	s.open = false
	s.metrics.pause()
	var quiet []<-chan struct{}
	for _, f := range s.fronts {
		quiet = append(quiet, f.close(silence, patience))
	}
	for _, q := range quiet {
		select {
		case <-q:
		case <-ctx.Done():
			return fmt.Errorf("clients do not leave: %w", ctx.Err())
		}
	}
	return nil
}

// freeze stops all that writes, or leaves everything as it was.
func (s *stage) freeze(ctx context.Context, limit time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.isDraining():
		return status.Errorf(codes.FailedPrecondition, "%s drains and cannot be frozen", s.rt.Manifest.Name)
	case s.frozen:
		return nil
	case !s.open:
		return status.Errorf(codes.FailedPrecondition, "%s has no token yet: there is nothing to freeze", s.rt.Manifest.Name)
	case !s.rt.has(socketLifecycle):
		return status.Errorf(codes.FailedPrecondition, "%s was started without a socket %q: frozen, it could not be reached", s.rt.Manifest.Name, socketLifecycle)
	}
	ctx, cancel := s.bounded(ctx, limit)
	defer cancel()
	defer func() {
		if !s.frozen {
			s.rt.Log.Warn("not frozen")
			s.mustReopen()
		}
	}()
	if err := s.close(ctx, limit/2, freezePatience); err != nil {
		return s.frozenError(err, limit)
	}
	if err := s.calls.hold(ctx); err != nil {
		return s.frozenError(fmt.Errorf("%d calls are in flight: %w", s.calls.inFlight(), err), limit)
	}
	if f, ok := s.rt.service.(Freezer); ok {
		if err := f.Freeze(ctx); err != nil {
			return s.frozenError(err, limit)
		}
	}
	s.frozen = true
	s.rt.Log.Info("frozen")
	return nil
}

// bounded ends with ctx, after limit, or when a drain begins.
func (s *stage) bounded(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	go func() {
		select {
		case <-s.draining:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (s *stage) frozenError(err error, limit time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return status.Errorf(codes.DeadlineExceeded, "not frozen within %v: %v", limit, err)
	}
	return asStatus(err)
}

// asStatus keeps a service's own status and the end of a context, and calls everything else internal.
func asStatus(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.Error(status.FromContextError(err).Code(), err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

// unfreeze takes a freeze back.
func (s *stage) unfreeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.frozen || s.isDraining() {
		return
	}
	if f, ok := s.rt.service.(Freezer); ok {
		f.Unfreeze()
	}
	s.frozen = false
	s.mustReopen()
	s.rt.Log.Info("unfrozen")
}

// mustReopen ends the process when it cannot serve again: started anew, it can. The lock is held.
func (s *stage) mustReopen() {
	if s.isDraining() {
		return
	}
	if err := s.reopen(); err != nil {
		s.rt.fail(err)
	}
}

// isFrozen waits for a move under way.
func (s *stage) isFrozen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frozen
}

// beginDrain ends the run; the process goes once the work is finished. The first limit counts.
func (s *stage) beginDrain(limit time.Duration) {
	s.drainOnce.Do(func() {
		s.drainLimit = limit
		close(s.draining)
	})
}

func (s *stage) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// leave is the first part of the drain, while the service runs: nobody comes any more, calls in flight end, then streams.
// It returns when ctx ends or, to leave the service time to end, a tenth of the limit earlier.
func (s *stage) leave(ctx context.Context, limit time.Duration) {
	s.mu.Lock()
	_ = s.close(ctx, drainSilence, drainPatience)
	s.mu.Unlock()
	s.rt.Telemetry.End()
	ctx, cancel := context.WithTimeout(ctx, limit-limit/10)
	defer cancel()
	s.calls.end(ctx)
	if !s.frozen {
		// Nobody has taken over: whoever read on would keep all others waiting for this process's end.
		ctx = closedContext()
	}
	s.calls.endAll(ctx)
}

// collapse closes everything at once, after a crash.
func (s *stage) collapse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics.pause()
	for _, f := range s.fronts {
		f.stop()
	}
}

// end closes what is left, after the service has ended.
func (s *stage) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	grace := time.After(streamGrace)
	for _, f := range s.fronts {
		f.end(grace)
	}
}
