// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// patience is how long the package manager may be away while an operation is followed: it may be the
// component that is replaced.
const patience = 30 * time.Second

// source returns the next progress of an operation.
type source func() (*pkgv1.Progress, error)

// receive reads progress from a stream of any of the calls that have it.
func receive[T interface{ GetProgress() *pkgv1.Progress }](stream interface{ Recv() (T, error) }) source {
	return func() (*pkgv1.Progress, error) {
		m, err := stream.Recv()
		return m.GetProgress(), err
	}
}

// follow prints an operation's progress to its end, also over restarts of the package manager.
func (s *session) follow(ctx context.Context, d *depot, j *journal, detach bool, next source) error {
	screen := s.screen(j)
	heard := time.Now()
	for {
		err := s.drain(ctx, d, j, screen, detach, next, &heard)
		screen.leave()
		switch {
		case err == nil && detach && !j.over():
			return s.printDetached(j.operation)
		case err == nil:
			return s.conclude(ctx, d, j)
		case ctx.Err() != nil && j.operation != 0:
			return &fail.Error{Code: fail.Refused, Text: "interrupted", Hint: detached(j.operation)}
		case j.operation == 0 || !away(err) && !d.goesOn(ctx, j.operation):
			return d.explain(ctx, err)
		case time.Since(heard) > patience:
			return &fail.Error{Code: fail.Unreachable, Hint: "see `ashlar status` and `ashlar logs pkgmgr`; " + detached(j.operation),
				Text: fmt.Sprintf("pkgmgr has not answered for %v; the outcome of operation %d is not known", patience, j.operation)}
		}
		if next, err = d.resume(ctx, j); err != nil {
			return d.explain(ctx, err)
		}
	}
}

// drain prints what a source has until the outcome, or until one progress where nobody waits for it.
func (s *session) drain(ctx context.Context, d *depot, j *journal, screen screen, detach bool, next source, heard *time.Time) error {
	for !j.over() {
		p, err := next()
		if err != nil {
			return err
		}
		*heard = time.Now()
		if !j.enter(p) {
			continue // seen before the stream was resumed
		}
		if !j.planned(p) {
			d.lookUp(ctx, j)
		}
		if err := screen.progress(p); err != nil {
			return err
		}
		if detach && j.operation != 0 {
			return nil
		}
	}
	return nil
}

// away reports whether an error means that the package manager may come back.
func away(err error) bool { return errors.Is(err, io.EOF) || status.Code(err) == codes.Unavailable }

// goesOn reports whether an operation is under way, whatever ended the stream that told of it.
func (d *depot) goesOn(ctx context.Context, operation uint64) bool {
	shown, err := d.show(ctx)
	return err == nil && operationOf(shown, operation).GetOutcome() == pkgv1.Outcome_OUTCOME_RUNNING
}

// resume follows an operation after its stream broke, from its begin on. One that the device does not follow any more
// is looked up.
func (d *depot) resume(ctx context.Context, j *journal) (source, error) {
	timer := time.NewTimer(longestPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	j.resumed = true
	stream, err := d.Watch(ctx, &pkgv1.WatchRequest{Operation: j.operation})
	if err != nil {
		return nil, err
	}
	follow := receive(stream)
	return func() (*pkgv1.Progress, error) {
		p, err := follow()
		if err == nil || status.Code(err) == codes.Unavailable {
			return p, err
		}
		shown, e := d.show(ctx)
		if e != nil {
			return nil, err
		}
		op := operationOf(shown, j.operation)
		if op == nil || op.GetOutcome() == pkgv1.Outcome_OUTCOME_RUNNING {
			return nil, err
		}
		return lastWords(op), nil
	}, nil
}

// lastWords are the outcome of an operation that is over, as its last progress.
func lastWords(op *pkgv1.Operation) *pkgv1.Progress {
	p := op.GetProgress()
	return &pkgv1.Progress{
		Operation: op.GetId(), Time: op.GetEnded(), Component: p.GetComponent(), Phase: p.GetPhase(), Step: p.GetStep(), Steps: p.GetSteps(),
		Gates: p.GetGates(), FrozenUs: p.GetFrozenUs(), Message: op.GetReason(), Outcome: op.GetOutcome(),
	}
}

// operationOf finds an operation; nil if the device has forgotten it.
func operationOf(shown *pkgv1.ShowResponse, id uint64) *pkgv1.Operation {
	for _, op := range append([]*pkgv1.Operation{shown.GetCurrent()}, shown.GetHistory()...) {
		if op.GetId() == id && id != 0 {
			return op
		}
	}
	return nil
}

// lookUp fetches the steps of an operation, for the versions to name; without them components are named alone.
func (d *depot) lookUp(ctx context.Context, j *journal) {
	if shown, err := d.show(ctx); err == nil {
		j.plan(operationOf(shown, j.operation).GetSteps())
	}
}

func (s *session) printDetached(operation uint64) error {
	if s.format != render.Table {
		return s.writer().Line(map[string]any{"operation": operation, "detached": true})
	}
	_, err := fmt.Fprintln(s.Out, detached(operation))
	return err
}

// conclude prints the end of an operation, and makes an error of any but success.
func (s *session) conclude(ctx context.Context, d *depot, j *journal) error {
	shown, err := d.show(context.WithoutCancel(ctx))
	after := ""
	if err == nil {
		after = situationOf(shown, time.Now()).words()
	}
	if s.format != render.Table {
		if err := s.writer().Line(j.summary()); err != nil {
			return err
		}
	}
	if j.outcome != pkgv1.Outcome_OUTCOME_SUCCEEDED {
		return fail.Refusef(after, "operation %d %s", j.operation, j.failure())
	}
	if s.format != render.Table {
		return nil
	}
	_, err = fmt.Fprintf(s.Out, "operation %d succeeded: %s\n", j.operation, j.totals())
	if err == nil && after != "" {
		_, err = fmt.Fprintln(s.Out, after)
	}
	return err
}
