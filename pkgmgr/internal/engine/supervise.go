// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// Bounds of the supervisor's calls. A cutover contains the old version's drain.
const (
	listLimit     = 2 * time.Second
	stageLimit    = 60 * time.Second
	cutoverLimit  = 30 * time.Second
	reexecLimit   = 15 * time.Second
	shortCall     = 5 * time.Second
	pollInterval  = 50 * time.Millisecond
	successorTime = 20 * time.Second
)

// report is what the supervisor says of the process tree.
type report struct{ *supervisorv1.ListResponse }

func (e *Engine) list(ctx context.Context) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	r, err := e.cfg.Supervisor.List(ctx, &supervisorv1.ListRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return report{}, fmt.Errorf("the supervisor does not answer: %w", err)
	}
	return report{r}, nil
}

func (r report) component(name string) *supervisorv1.ComponentStatus {
	for _, c := range r.GetComponents() {
		if c.GetName() == name {
			return c
		}
	}
	return nil
}

// digest is what runs of a component, empty when nothing does.
func (r report) digest(component string) string {
	if component == plan.Supervisor {
		return r.GetSupervisorDigest()
	}
	return r.component(component).GetDigest()
}

// unready names one component that is not ready, and why.
func (r report) unready() string {
	for _, c := range r.GetComponents() {
		if c.GetPhase() == supervisorv1.Phase_PHASE_READY {
			continue
		}
		if c.GetReason() == "" {
			return c.GetName() + " is not ready"
		}
		return fmt.Sprintf("%s is not ready: %s", c.GetName(), c.GetReason())
	}
	return ""
}

// lost says which of an operation's components does not run as it should any more.
func (r report) lost(steps []Step, want map[string]string) string {
	for _, s := range steps {
		if r.digest(s.Component) != want[s.Component] {
			return r.whyLost(s)
		}
	}
	return ""
}

func (r report) whyLost(s Step) string {
	if back := r.component(s.Component).GetReversal(); back.GetFromDigest() == s.To && s.To != "" {
		return fmt.Sprintf("%s %s ended by itself and the supervisor went back to %s: %s", s.Component, s.ToVersion, back.GetToVersion(), back.GetReason())
	}
	if now := r.component(s.Component).GetVersion(); now != "" {
		return fmt.Sprintf("%s %s does not run any more: %s %s does", s.Component, s.ToVersion, s.Component, now)
	}
	return fmt.Sprintf("%s %s does not run any more", s.Component, s.ToVersion)
}

// unknown reports whether the connection broke before a call's answer came: it may have had its effect. A limit that
// passed is an answer, whatever runs then is looked at on the way back.
func unknown(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.Canceled
}

// words is an error of the supervisor without what gRPC adds.
func words(err error) error {
	if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		return errors.New(s.Message())
	}
	return err
}

// answerLimit is how long a staged process has for its first answer. A component that is started without one beside
// it may take longer: then nobody waits with an operation.
const answerLimit = 10 * time.Second

func (e *Engine) stage(ctx context.Context, component, digest string) error {
	ctx, cancel := context.WithTimeout(ctx, stageLimit)
	defer cancel()
	_, err := e.cfg.Supervisor.Stage(ctx, &supervisorv1.StageRequest{
		Component: component, Tree: e.cfg.Store.Tree(digest), LimitMs: uint32(answerLimit.Milliseconds()),
	}, grpc.WaitForReady(true))
	return err
}

func (e *Engine) discard(ctx context.Context, component string) error {
	ctx, cancel := context.WithTimeout(ctx, shortCall)
	defer cancel()
	_, err := e.cfg.Supervisor.Discard(ctx, &supervisorv1.DiscardRequest{Component: component}, grpc.WaitForReady(true))
	if code := status.Code(err); code == codes.NotFound || component == plan.Supervisor && code == codes.InvalidArgument {
		return nil
	}
	return err
}

func (e *Engine) confirm(ctx context.Context, component string) error {
	ctx, cancel := context.WithTimeout(ctx, shortCall)
	defer cancel()
	_, err := e.cfg.Supervisor.Confirm(ctx, &supervisorv1.ConfirmRequest{Component: component}, grpc.WaitForReady(true))
	if status.Code(err) == codes.NotFound {
		return nil // a component that was removed has no trial
	}
	return err
}

func (e *Engine) remove(ctx context.Context, component string) error {
	ctx, cancel := context.WithTimeout(ctx, cutoverLimit)
	defer cancel()
	_, err := e.cfg.Supervisor.Remove(ctx, &supervisorv1.RemoveRequest{Component: component}, grpc.WaitForReady(true))
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

// cutover makes a staged version the running one and returns for how long nobody took calls. When the call's outcome is
// unknown it is found out, and the cutover tried again where it did not come about.
func (e *Engine) cutover(ctx context.Context, component, digest string) (frozenUS uint64, err error) {
	for range 3 {
		frozenUS, err = e.cutoverOnce(ctx, component, digest)
		if err == nil || !unknown(err) || ctx.Err() != nil {
			return frozenUS, err
		}
		runs, e2 := e.awaitDigest(ctx, component, digest)
		if e2 != nil || runs {
			return 0, e2
		}
		// A supervisor that was replaced in the middle has ended the candidate.
		if e2 := e.stage(ctx, component, digest); e2 != nil {
			return 0, errors.Join(err, e2)
		}
	}
	return frozenUS, err
}

func (e *Engine) cutoverOnce(ctx context.Context, component, digest string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, cutoverLimit)
	defer cancel()
	r, err := e.cfg.Supervisor.Cutover(ctx, &supervisorv1.CutoverRequest{Component: component, Digest: digest}, grpc.WaitForReady(true))
	if component == plan.Supervisor && (err == nil || unknown(err)) {
		return 0, e.awaitSupervisor(ctx, digest)
	}
	if component == plan.Manager && unknown(err) {
		// This process is the one that is replaced: it is ended, or the supervisor has gone.
		select {
		case <-ctx.Done():
		case <-time.After(successorTime):
		}
	}
	return r.GetFrozenUs(), err
}

// awaitDigest waits until the supervisor answers and is done with a component, and tells whether a digest runs.
func (e *Engine) awaitDigest(ctx context.Context, component, digest string) (bool, error) {
	limit, cancel := context.WithTimeout(ctx, reexecLimit)
	defer cancel()
	for {
		now, err := e.list(limit)
		if err == nil && now.digest(component) == digest {
			return true, nil
		}
		if c := now.component(component); err == nil && (component == plan.Supervisor || c == nil || c.GetPhase() == supervisorv1.Phase_PHASE_READY) {
			return false, nil
		}
		if err := pause(limit, pollInterval); err != nil {
			return false, fmt.Errorf("the supervisor does not say what became of %s", component)
		}
	}
}

// awaitSupervisor waits until the new supervisor has taken the old one's place and knows all components as ready.
func (e *Engine) awaitSupervisor(ctx context.Context, digest string) error {
	limit, cancel := context.WithTimeout(ctx, reexecLimit)
	defer cancel()
	why := "the old one still runs"
	for {
		now, err := e.list(limit)
		switch {
		case err != nil:
			why = err.Error()
		case now.GetSupervisorDigest() != digest:
			why = fmt.Sprintf("supervisor %s runs", now.GetSupervisorVersion())
		default:
			if why = now.unready(); why == "" {
				return nil
			}
		}
		if pause(limit, pollInterval) != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return status.Errorf(codes.FailedPrecondition, "the new supervisor did not take over within %v: %s", reexecLimit, why)
		}
	}
}

// ensure makes a digest the one that runs of a component, whatever runs now; empty means none.
func (e *Engine) ensure(ctx context.Context, component, digest string) error {
	now, err := e.list(ctx)
	if err != nil {
		return err
	}
	if now.component(component).GetCandidate() != nil {
		if err := e.discard(ctx, component); err != nil {
			return err
		}
	}
	switch {
	case now.digest(component) == digest:
		return e.confirmIfThere(ctx, component, digest)
	case digest == "":
		return e.remove(ctx, component)
	}
	if err := e.stage(ctx, component, digest); err != nil {
		return err
	}
	if _, err := e.cutover(ctx, component, digest); err != nil {
		return err
	}
	return e.confirmIfThere(ctx, component, digest)
}

// confirmIfThere ends a trial: what is gone back to is not on trial, or its crash would bring the failed one back.
func (e *Engine) confirmIfThere(ctx context.Context, component, digest string) error {
	if digest == "" {
		return nil
	}
	return e.confirm(ctx, component)
}

// settle makes the committed generation run when no journal says what does.
func (e *Engine) settle(ctx context.Context) {
	g, ok := e.cfg.Generations.Committed()
	if !ok {
		return
	}
	now, err := e.list(ctx)
	for component, digest := range g.Members {
		if err != nil {
			break
		}
		if runs := now.digest(component); runs != digest && store.IsDigest(runs) {
			e.cfg.Log.Warn("going back to the committed generation", "component", component, "runs", short(runs), "committed", short(digest))
			err = e.ensure(ctx, component, digest)
		}
	}
	if err != nil {
		e.cfg.Log.Error("what runs could not be compared with the committed generation", "error", err)
	}
}

// pause waits, or returns why not.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
