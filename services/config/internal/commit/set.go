// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"
	"errors"
	"fmt"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/store"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
)

// Outcome is what an accepted Set came to.
type Outcome struct {
	// Revision in effect; a Set that changes nothing makes none.
	Revision int64
	Time     time.Time
}

// transaction is one change on its way.
type transaction struct {
	id       uint64
	user     string
	at       time.Time
	base     *decision
	revision int64
	next     *tree.Tree
	rows     []store.Change
	groups   []*group
}

// group is one owner's part of a transaction.
type group struct {
	declaration owners.Declaration
	// prepared is the session that accepted.
	prepared *owners.Session
	changes  []*configv1.Subtree
	inverse  []*configv1.Subtree
}

// Set makes one transaction of a request. The error is a *schema.Error, *Refused, *owners.Refusal,
// *Reversed, or wraps one of the package's, the store's or the context's errors. It comes within Limit, and
// before the context's deadline: ErrWaiting says that nothing changed, ErrUnknown that the transaction goes on.
func (e *Engine) Set(ctx context.Context, user string, request *gnmi.SetRequest) (Outcome, error) {
	if err := e.Probe(); err != nil && !e.resuming.Load() {
		return Outcome{}, err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, e.limit(ctx))
	defer cancel()
	t, done, err := e.begin(ctx, user, request)
	if err != nil || done == nil {
		return e.unchanged(t, err)
	}
	select {
	case err := <-done:
		return Outcome{Revision: t.revision, Time: t.at}, err
	case <-ctx.Done():
		return Outcome{}, fmt.Errorf("%w after %s: %s; send the change again (%w)", ErrUnknown, since(began), e.turn.stage(), ctx.Err())
	}
}

// limit is how long a Set may take: Limit, or a little less than its client waits, so that the client hears why.
func (e *Engine) limit(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(e.Limit, time.Until(deadline)*9/10)
	}
	return e.Limit
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }

// begin takes a request up to the decision and starts that; done receives what it came to, and is nil when
// there is nothing to decide. An owner that is away, or leaves before it has accepted, is waited for without the
// turn: others may go on, and so may the owner, should it have something new to declare. Then the request begins
// again, on what is decided by then.
func (e *Engine) begin(ctx context.Context, user string, request *gnmi.SetRequest) (*transaction, chan error, error) {
	var missed time.Time
	for {
		declared := e.Registry.Declared()
		t, done, err := e.attempt(ctx, user, request)
		var refused *Refused
		if !errors.As(err, &refused) || refused.away == nil {
			return t, done, err
		}
		if missed.IsZero() {
			missed = time.Now()
		}
		if !e.returns(ctx, missed, declared, *refused.away) {
			return nil, nil, err
		}
	}
}

// returns waits for an owner that was missed: Absence, or Patience once it has said hello. It reports whether asking
// again is worth it: the owner is attached, or what is declared has changed.
func (e *Engine) returns(ctx context.Context, missed time.Time, declared *owners.Declarations, away owners.Declaration) bool {
	absent, cancel := context.WithDeadline(ctx, missed.Add(e.Absence))
	defer cancel()
	restoring, cancel := context.WithDeadline(ctx, missed.Add(max(e.Absence, e.Patience)))
	defer cancel()
	for {
		changed := e.Registry.Changed()
		if _, err := e.Registry.Session(away); err == nil || e.Registry.Declared() != declared {
			return restoring.Err() == nil
		}
		wait := absent
		if e.Registry.Attaching(away) {
			wait = restoring
		}
		select {
		case <-changed:
		case <-wait.Done():
			return false
		case <-e.life.Done():
			return false
		}
	}
}

// attempt is one try to begin.
func (e *Engine) attempt(ctx context.Context, user string, request *gnmi.SetRequest) (t *transaction, done chan error, err error) {
	began := time.Now()
	release, err := e.turn.take(ctx, stageChecking)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w after %s: %s; nothing changed, send the change again", ErrWaiting, since(began), e.turn.stage())
	}
	if err != nil {
		return nil, nil, err
	}
	// A panic must not keep the turn either.
	defer func() {
		if done == nil {
			release()
		}
	}()
	if err := e.Probe(); err != nil {
		return nil, nil, err
	}
	if t, err = e.candidate(user, request); err != nil || len(t.rows) == 0 {
		return t, nil, err
	}
	if err := e.prepare(ctx, t); err != nil {
		return nil, nil, err
	}
	done = make(chan error, 1)
	go func() {
		defer release()
		done <- e.decide(t)
	}()
	return t, done, nil
}

// unchanged ends a transaction that has nothing to do, or cannot begin.
func (e *Engine) unchanged(t *transaction, err error) (Outcome, error) {
	if err != nil {
		e.Metrics.results.WithLabelValues("refused").Inc()
		return Outcome{}, err
	}
	e.Metrics.results.WithLabelValues("unchanged").Inc()
	return Outcome{Revision: t.base.revision, Time: t.at}, nil
}

// candidate builds and validates the next tree and groups what changes by owner.
func (e *Engine) candidate(user string, request *gnmi.SetRequest) (*transaction, error) {
	defer e.Metrics.time("candidate")()
	t := &transaction{id: e.transactions.Add(1), user: user, at: time.Now(), base: e.decided.Load()}
	edit := t.base.tree.Edit(t.at)
	if err := edit.Apply(request); err != nil {
		return nil, err
	}
	next, changes, err := edit.Commit()
	if err != nil {
		return nil, err
	}
	t.next, t.revision = next, t.base.revision+1
	if changes.Empty() {
		return t, nil
	}
	return t, e.group(t, changes)
}

// group sorts the changes by owner and finds the rows.
func (e *Engine) group(t *transaction, changes *tree.Changes) error {
	b := e.bind()
	objects, orphans := changes.Objects(b.patterns)
	if err := checkOrphans(b, changes, orphans); err != nil {
		return err
	}
	bySession := map[*owners.Session]*group{}
	for _, o := range objects {
		declaration := b.declarations[o.Pattern]
		session, err := e.Registry.Session(declaration)
		if err != nil {
			return &Refused{Path: o.Path.String(), Code: codes.Unavailable, Reason: err.Error(), away: &declaration}
		}
		g := bySession[session]
		if g == nil {
			g = &group{declaration: declaration, prepared: session}
			bySession[session] = g
			t.groups = append(t.groups, g)
		}
		path := o.Path.GNMI()
		g.changes = append(g.changes, &configv1.Subtree{Path: path, Json: o.New})
		g.inverse = append(g.inverse, &configv1.Subtree{Path: path, Json: o.Old})
	}
	t.rows = rowChanges(changes, objects, orphans)
	return store.Fits(t.rows)
}

// prepare asks all owners at once. When one does not accept, all are told to forget it.
func (e *Engine) prepare(ctx context.Context, t *transaction) error {
	defer e.Metrics.time("prepare")()
	e.turn.enter(stagePreparing)
	ctx, cancel := context.WithTimeout(ctx, e.Patience)
	defer cancel()
	err := each(t.groups, func(g *group) error {
		err := g.prepared.Prepare(ctx, t.id, t.base.revision, g.changes)
		if err != nil {
			cancel() // one no is enough
		}
		return e.explain(g, err)
	})
	if err != nil {
		t.abort()
	}
	return err
}

func (t *transaction) abort() {
	for _, g := range t.groups {
		g.prepared.Abort(t.id)
	}
}

// explain names the owner and the object where an error says neither.
func (e *Engine) explain(g *group, err error) error {
	var refusal *owners.Refusal
	if err == nil || errors.As(err, &refusal) || errors.Is(err, context.Canceled) {
		return err
	}
	refused := &Refused{Path: pathText(g.changes[0].GetPath()), Code: codes.Unavailable, Reason: err.Error()}
	if errors.Is(err, owners.ErrAway) {
		refused.away = &g.declaration
	}
	return refused
}

// each runs fn for all groups side by side and returns the error that says most: a refusal before
// a silence, a silence before a wait that another's refusal cut short.
func each(groups []*group, fn func(*group) error) error {
	results := make(chan error, len(groups))
	for _, g := range groups[min(1, len(groups)):] {
		go func() { results <- fn(g) }()
	}
	if len(groups) > 0 {
		results <- fn(groups[0])
	}
	var worst error
	for range groups {
		if err := <-results; rank(err) > rank(worst) {
			worst = err
		}
	}
	return worst
}

func rank(err error) int {
	var refusal *owners.Refusal
	switch {
	case err == nil:
		return 0
	case errors.As(err, &refusal):
		return 3
	case errors.Is(err, context.Canceled):
		return 1
	}
	return 2
}
