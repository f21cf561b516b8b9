// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generations"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// Defaults of requests.
const (
	DefaultTimer = 2 * time.Hour
	DefaultSoak  = 2 * time.Second
)

var (
	// ErrState: the request does not fit what is going on; the text says what to do.
	ErrState = errors.New("not now")
	// ErrArgument: the request names what there is not.
	ErrArgument = errors.New("not possible")
	// ErrLeaving: the process is about to end; its successor answers.
	ErrLeaving = errLeaving
)

// Busy is the error of a request that found another operation.
type Busy struct {
	Operation uint64
	Kind      string
}

func (b *Busy) Error() string {
	return fmt.Sprintf("operation %d (%s) is under way: follow it with `ashlar show install`, or end it with `ashlar install abort`", b.Operation, b.Kind)
}

// NotAllowed is the error of a plan that the judge refuses.
type NotAllowed struct{ Reasons []*pkgv1.Reason }

func (n *NotAllowed) Error() string {
	var texts []string
	for _, r := range n.Reasons {
		texts = append(texts, r.GetText())
	}
	return strings.Join(texts, "\n")
}

type sentence struct {
	text string
	kind error
}

func (s sentence) Error() string { return s.text }
func (s sentence) Unwrap() error { return s.kind }

func statef(format string, args ...any) error {
	return sentence{fmt.Sprintf(format, args...), ErrState}
}

// readyLocked reports whether a new operation may begin.
func (e *Engine) readyLocked() error {
	if e.broken != nil {
		if errors.Is(e.broken, errLeaving) {
			return errLeaving
		}
		return sentence{e.broken.Error(), ErrState}
	}
	if o := e.state.current(); o != nil {
		return &Busy{Operation: o.ID, Kind: o.Kind}
	}
	if err := installed(e.state.Running); err != nil {
		return sentence{err.Error(), ErrState}
	}
	return nil
}

// uncommittedLocked refuses to build on a set that may be taken back.
func (e *Engine) uncommittedLocked() error {
	if e.state.Applied == 0 {
		return nil
	}
	return statef("operation %d is applied and not committed: `ashlar install commit` keeps it, `ashlar install abort` takes it back", e.state.Applied)
}

// Propose judges changes and keeps them as what the next Apply does. With add they come on top of an earlier proposal;
// with dry nothing is kept.
func (e *Engine) Propose(changes []plan.Change, add, dry bool) (plan.Plan, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.readyLocked(); err != nil {
		return plan.Plan{}, err
	}
	p, target, err := e.planLocked(changes, add)
	if err != nil {
		return p, err
	}
	if len(p.Steps) == 0 {
		return p, sentence{nothing(target), ErrArgument}
	}
	if !p.Verdict.Allowed() {
		return p, &NotAllowed{p.Verdict.Reasons}
	}
	if dry {
		return p, nil
	}
	pending := map[string]string{}
	for component, to := range target {
		pending[component] = ""
		if to != nil {
			pending[component] = to.Digest
		}
	}
	return p, e.writeLocked(Record{Kind: recordPending, Pending: pending})
}

func nothing(target plan.Target) string {
	if len(target) == 0 {
		return "no change is named"
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(target)) {
		if p := target[name]; p != nil {
			names = append(names, p.String())
		}
	}
	return "nothing would change: " + strings.Join(names, ", ") + " runs already"
}

func (e *Engine) planLocked(changes []plan.Change, add bool) (plan.Plan, plan.Target, error) {
	running, err := e.running(e.state.Running)
	if err != nil {
		return plan.Plan{}, nil, sentence{err.Error(), ErrState}
	}
	quarantined := func(digest string) bool { return e.state.Quarantine[digest] != "" }
	target, err := plan.Resolve(changes, e.cfg.Store.Packages(), running, quarantined)
	if err != nil {
		return plan.Plan{}, nil, sentence{err.Error(), ErrArgument}
	}
	if add {
		before, err := e.pendingLocked()
		if err != nil {
			return plan.Plan{}, nil, err
		}
		maps.Copy(before, target)
		target = before
	}
	return plan.Make(running, target, e.cfg.Judge), target, nil
}

// pendingLocked is the proposal that is kept.
func (e *Engine) pendingLocked() (plan.Target, error) {
	out := plan.Target{}
	for component, digest := range e.state.Pending {
		out[component] = nil
		if digest == "" {
			continue
		}
		p, ok := e.cfg.Store.Package(digest)
		if !ok {
			return nil, statef("the proposed package %s of %s was discarded: propose again", short(digest), component)
		}
		out[component] = p
	}
	return out, nil
}

// Judge says what stands against changes, without keeping anything; none judges what runs.
func (e *Engine) Judge(changes []plan.Change) (plan.Plan, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := installed(e.state.Running); err != nil {
		return plan.Plan{}, sentence{err.Error(), ErrState}
	}
	p, _, err := e.planLocked(changes, false)
	return p, err
}

// Options are how an operation is carried out; zero is the default of each.
type Options struct {
	By     string
	Timer  time.Duration
	Soak   time.Duration
	Commit bool
}

func (o Options) defaults() Options {
	if o.Timer == 0 {
		o.Timer = DefaultTimer
	}
	if o.Soak == 0 {
		o.Soak = DefaultSoak
	}
	return o
}

// Apply begins what is proposed and returns the operation's id.
func (e *Engine) Apply(opts Options) (uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.readyLocked(); err != nil {
		return 0, err
	}
	if err := e.uncommittedLocked(); err != nil {
		return 0, err
	}
	if e.state.Pending == nil {
		return 0, statef("nothing is proposed: `ashlar install upgrade COMPONENT` does")
	}
	target, err := e.pendingLocked()
	if err != nil {
		return 0, err
	}
	return e.beginLocked(KindApply, target, opts)
}

// Rollback begins the way to an earlier generation, all of it or some components, and commits it at its end.
func (e *Engine) Rollback(id uint64, components []string, opts Options) (uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.readyLocked(); err != nil {
		return 0, err
	}
	if err := e.uncommittedLocked(); err != nil {
		return 0, err
	}
	g, err := e.generationBack(id)
	if err != nil {
		return 0, err
	}
	target, err := e.targetOf(g.Members, components)
	if err != nil {
		return 0, err
	}
	opts.Commit = true
	return e.beginLocked(KindRollback, target, opts)
}

func (e *Engine) targetOf(members map[string]string, components []string) (plan.Target, error) {
	target := plan.Target{}
	for _, c := range components {
		if members[c] == "" && e.state.Running[c] == "" {
			return nil, sentence{fmt.Sprintf("%s is neither in that generation nor does it run", c), ErrArgument}
		}
	}
	for component, digest := range members {
		p, ok := e.cfg.Store.Package(digest)
		if !ok {
			return nil, statef("the store lacks the package %s of %s, which that generation has: add it again", short(digest), component)
		}
		target[component] = p
	}
	for component := range e.state.Running {
		if members[component] == "" {
			target[component] = nil
		}
	}
	if len(components) > 0 {
		maps.DeleteFunc(target, func(c string, _ *store.Package) bool { return !slices.Contains(components, c) })
	}
	return target, nil
}

// generationBack is the one to go back to; 0 is the newest before the committed one.
func (e *Engine) generationBack(id uint64) (generations.Generation, error) {
	if id == 0 {
		committed, _ := e.cfg.Generations.Committed()
		for _, g := range e.cfg.Generations.List() {
			if g.ID < committed.ID {
				id = g.ID
			}
		}
		if id == 0 {
			return generations.Generation{}, statef("there is no generation before %d", committed.ID)
		}
	}
	g, err := e.cfg.Generations.Get(id)
	if err != nil {
		return g, sentence{err.Error(), ErrArgument}
	}
	return g, nil
}

// beginLocked judges a target once more, since packages and evidence may have come and gone, and begins.
func (e *Engine) beginLocked(kind string, target plan.Target, opts Options) (uint64, error) {
	running, err := e.running(e.state.Running)
	if err != nil {
		return 0, sentence{err.Error(), ErrState}
	}
	p := plan.Make(running, target, e.cfg.Judge)
	if len(p.Steps) == 0 {
		return 0, sentence{nothing(target), ErrArgument}
	}
	opts = opts.defaults()
	o := &Operation{
		ID: e.state.LastID + 1, Kind: kind, By: opts.By, Began: e.cfg.Clock.Now(), Outcome: Running, Steps: steps(p.Steps),
		Commit: opts.Commit, Soak: opts.Soak, Timer: opts.Timer, Boot: e.cfg.Clock.Boot,
	}
	if o.Commit {
		o.Generation = e.cfg.Generations.Next()
	}
	var refusal error
	if !p.Verdict.Allowed() {
		refusal = &NotAllowed{p.Verdict.Reasons}
	} else if err := store.Room(e.cfg.Dir, 0); err != nil {
		refusal = sentence{err.Error(), err}
	}
	if refusal != nil {
		o.Outcome, o.Reason, o.Ended = Refused, refusal.Error(), o.Began
	}
	if err := e.writeLocked(Record{Kind: recordBegin, Begin: o}); err != nil {
		return 0, errors.Join(refusal, err)
	}
	if refusal != nil {
		return 0, refusal
	}
	e.poke()
	return o.ID, nil
}

func steps(planned []plan.Step) []Step {
	var out []Step
	for _, p := range planned {
		s := Step{Component: p.Component}
		if p.From != nil {
			s.From, s.FromVersion, s.Handover = p.From.Digest, p.From.Version, string(p.From.Manifest.Handover)
		}
		if p.To != nil {
			s.To, s.ToVersion, s.Handover = p.To.Digest, p.To.Version, string(p.To.Manifest.Handover)
		}
		out = append(out, s)
	}
	return out
}

// Commit makes the applied set the one that boots, and returns its generation.
func (e *Engine) Commit(ctx context.Context, by string) (uint64, error) {
	id, generation, err := e.beginCommit(by)
	if err != nil {
		return 0, err
	}
	o, err := e.Await(ctx, id)
	switch {
	case err != nil:
		return 0, err
	case o.Outcome != Succeeded:
		return 0, fmt.Errorf("operation %d %s: %s", o.ID, o.Outcome, o.Reason)
	}
	return generation, nil
}

func (e *Engine) beginCommit(by string) (id, generation uint64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.readyLocked(); err != nil {
		return 0, 0, err
	}
	if e.state.Applied == 0 {
		return 0, 0, statef("nothing is applied that is not committed")
	}
	o := &Operation{
		ID: e.state.LastID + 1, Kind: KindCommit, By: by, Began: e.cfg.Clock.Now(), Outcome: Running, Commit: true,
		Generation: e.cfg.Generations.Next(), Boot: e.cfg.Clock.Boot,
	}
	if err := e.writeLocked(Record{Kind: recordBegin, Begin: o}); err != nil {
		return 0, 0, err
	}
	e.poke()
	return o.ID, o.Generation, nil
}

// Abort ends the operation under way, takes back what is applied and not committed, or drops the proposal, whichever
// there is, and says which it was. It returns when everything is as before.
func (e *Engine) Abort(ctx context.Context, by string) (string, error) {
	id, text, err := e.beginAbort(by)
	var applying *Busy
	for errors.As(err, &applying) { // in a moment it is applied, and can be taken back as that
		if _, err := e.Await(ctx, applying.Operation); err != nil {
			return "", err
		}
		applying = nil
		id, text, err = e.beginAbort(by)
	}
	if err != nil || id == 0 {
		return text, err
	}
	o, err := e.Await(ctx, id)
	switch {
	case err != nil:
		return "", err
	case o.Outcome == Failed:
		return "", fmt.Errorf("operation %d: %s", o.ID, o.Reason)
	case o.Outcome == Succeeded:
		return "", statef("operation %d had succeeded before it could be ended", o.ID)
	}
	return text, nil
}

func (e *Engine) beginAbort(by string) (wait uint64, text string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broken != nil {
		return 0, "", e.readyLocked()
	}
	why := fmt.Errorf("%w by %s", errAbort, by)
	if o := e.state.current(); o != nil {
		if !o.Back {
			if e.finishing && !o.Commit {
				return 0, "", &Busy{Operation: o.ID, Kind: o.Kind}
			}
			if e.finishing || o.Kind == KindCommit {
				return 0, "", statef("operation %d is at its end and cannot be taken back any more: wait for it", o.ID)
			}
			e.abort = why
			if e.stop != nil {
				e.stop(why)
			}
		}
		return o.ID, fmt.Sprintf("operation %d (%s) is ended, everything is as before", o.ID, o.Kind), nil
	}
	if id := e.state.Applied; id != 0 {
		err := e.writeLocked(Record{Kind: recordBack, Operation: id, Step: len(e.state.operation(id).Steps), Phase: phaseReversing, Outcome: Aborted, Message: why.Error()})
		e.poke()
		return id, fmt.Sprintf("operation %d is taken back, everything is as before", id), err
	}
	if e.state.Pending != nil {
		return 0, "the proposal is dropped", e.writeLocked(Record{Kind: recordPending})
	}
	return 0, "", statef("nothing is under way, applied or proposed")
}

// Await returns an operation once it has ended.
func (e *Engine) Await(ctx context.Context, id uint64) (*Operation, error) {
	for {
		e.mu.Lock()
		o, changed, leaving := e.state.operation(id), e.changed, errors.Is(e.broken, errLeaving)
		if o != nil && o.Outcome != Running {
			o = o.clone()
			e.mu.Unlock()
			return o, nil
		}
		e.mu.Unlock()
		switch {
		case o == nil:
			return nil, sentence{fmt.Sprintf("operation %d is not known", id), ErrArgument}
		case leaving:
			return nil, errLeaving
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Discard removes packages that nothing needs: neither what runs, nor a kept generation, nor a proposal.
func (e *Engine) Discard(packages []*store.Package) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.state.current(); o != nil {
		return &Busy{Operation: o.ID, Kind: o.Kind}
	}
	for _, p := range packages {
		if who := e.neededLocked(p.Digest); who != "" {
			return statef("%s (%s) is needed by %s", p, short(p.Digest), who)
		}
	}
	for _, p := range packages {
		if err := e.cfg.Store.Discard(p.Digest); err != nil {
			return err
		}
		if e.state.Quarantine[p.Digest] != "" {
			if err := e.writeLocked(Record{Kind: recordFree, Digest: p.Digest}); err != nil {
				return err
			}
		}
	}
	e.tellLocked()
	return nil
}

func (e *Engine) neededLocked(digest string) string {
	for _, d := range e.state.Running {
		if d == digest {
			return "what runs"
		}
	}
	for _, d := range e.state.Pending {
		if d == digest {
			return "the proposal: `ashlar install abort` drops it"
		}
	}
	if o := e.state.operation(e.state.Applied); o != nil {
		for _, s := range o.Steps {
			if s.From == digest {
				return "the way back of what is applied: `ashlar install commit` first"
			}
		}
	}
	for _, g := range e.cfg.Generations.List() {
		for _, d := range g.Members {
			if d == digest {
				return fmt.Sprintf("generation %d", g.ID)
			}
		}
	}
	return ""
}
