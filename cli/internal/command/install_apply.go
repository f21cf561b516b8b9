// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

const (
	defaultTimer = 2 * time.Hour
	defaultSoak  = 2 * time.Second
)

// applyFlags say how a transaction is carried out.
type applyFlags struct {
	timer, soak    time.Duration
	commit, detach bool
}

func (f *applyFlags) register(c *cobra.Command) {
	c.Flags().DurationVar(&f.timer, "commit-timer", defaultTimer, "take the set back when it is not committed after this time")
	c.Flags().BoolVar(&f.commit, "commit", false, "apply, and commit at once when everything succeeded")
	f.registerFollow(c)
}

// registerFollow registers the flags that a rollback has too.
func (f *applyFlags) registerFollow(c *cobra.Command) {
	c.Flags().DurationVar(&f.soak, "soak", defaultSoak, "watch each new version so long before the next step")
	c.Flags().BoolVar(&f.detach, "detach", false, "return once the operation has begun; it goes on on the device")
}

// check refuses what the contract cannot say: 0 means its default there.
func (f applyFlags) check() error {
	if f.timer < time.Second || f.timer.Seconds() > math.MaxUint32 {
		return fail.Usagef("--commit-timer %v: want 1s or more", f.timer)
	}
	return f.checkSoak()
}

func (f applyFlags) checkSoak() error {
	if f.soak < time.Millisecond || f.soak.Milliseconds() > math.MaxUint32 {
		return fail.Usagef("--soak %v: want 1ms or more", f.soak)
	}
	return nil
}

func (s *session) installApply() *cobra.Command {
	var f applyFlags
	c := &cobra.Command{
		Use:   "apply",
		Short: "Carry out the pending transaction, one component after the other, in service",
		Long: `apply replaces one component after the other and prints what happens: a step's component, its phase, the packets lost
and the calls failed since the step began, and how long nobody took calls. What fails is taken back by itself. The operation goes
on when this command ends; "ashlar install abort" ends the operation.

` + exitCodes,
		Args: between(0, 0, "no arguments: `ashlar install upgrade` says what to apply"),
		RunE: func(c *cobra.Command, _ []string) error { return s.runApply(c.Context(), f) },
	}
	f.register(c)
	return c
}

func (s *session) runApply(ctx context.Context, f applyFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	d, err := s.depot()
	if err != nil {
		return err
	}
	defer d.Close()
	shown, err := d.show(ctx)
	if err != nil {
		return err
	}
	steps := shown.GetPending().GetSteps()
	if now := situationOf(shown, time.Now()); len(steps) == 0 && now.running() == nil {
		return fail.Refusef("say what to change with `ashlar install upgrade "+componentArgument+"`; "+now.words(), "nothing is pending: there is nothing to apply")
	}
	return s.apply(ctx, d, steps, f)
}

// apply starts the operation and follows it.
func (s *session) apply(ctx context.Context, d *depot, steps []*pkgv1.PlannedStep, f applyFlags) error {
	streamCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := d.Apply(streamCtx, &pkgv1.ApplyRequest{
		CommitTimerS: uint32(math.Ceil(f.timer.Seconds())), SoakMs: uint32(f.soak.Milliseconds()), Commit: f.commit,
	})
	if err != nil {
		return d.explain(ctx, err)
	}
	return s.follow(ctx, d, newJournal(steps), f.detach, receive(stream))
}

func (s *session) installRollback() *cobra.Command {
	var f applyFlags
	var components []string
	c := &cobra.Command{
		Use:   "rollback [GENERATION]",
		Short: "Go back to an earlier generation, in service, and commit it",
		Long: `rollback goes to the generation before the committed one, or to the one that is named; "ashlar show install history" lists
them. With --component only these components go back.

` + exitCodes,
		Args: between(0, 1, "at most one GENERATION"),
		RunE: func(c *cobra.Command, args []string) error {
			generation, err := parseGeneration(args)
			if err != nil {
				return err
			}
			return s.runRollback(c.Context(), generation, components, f)
		},
	}
	c.Flags().StringSliceVar(&components, "component", nil, "only this component; may be given again")
	f.registerFollow(c)
	return c
}

// parseGeneration reads an optional generation; 0 is none.
func parseGeneration(args []string) (uint64, error) {
	if len(args) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil || n == 0 {
		return 0, fail.Usagef("generation %q: want a number from `ashlar show install history`", args[0])
	}
	return n, nil
}

func (s *session) runRollback(ctx context.Context, generation uint64, components []string, f applyFlags) error {
	if err := f.checkSoak(); err != nil {
		return err
	}
	d, err := s.depot()
	if err != nil {
		return err
	}
	defer d.Close()
	shown, err := d.show(ctx)
	if err != nil {
		return err
	}
	if err := rollbackPossible(shown, generation, components); err != nil {
		return d.standing(ctx, err)
	}
	streamCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := d.Rollback(streamCtx, &pkgv1.RollbackRequest{Generation: generation, Components: components, SoakMs: uint32(f.soak.Milliseconds())})
	if err != nil {
		return d.explain(ctx, err)
	}
	return s.follow(ctx, d, newJournal(nil), f.detach, receive(stream))
}

// rollbackPossible refuses generations and components that the device does not have, and says which it has.
func rollbackPossible(shown *pkgv1.ShowResponse, generation uint64, components []string) error {
	var ids []string
	for _, g := range shown.GetGenerations() {
		ids = append(ids, strconv.FormatUint(g.GetId(), 10))
	}
	switch {
	case generation != 0 && !slices.Contains(ids, strconv.FormatUint(generation, 10)):
		return fail.Refusef("see `ashlar show install history`", "there is no generation %d: there are %s", generation, strings.Join(ids, ", "))
	case generation == 0 && len(ids) == 1:
		return fail.Refusef("", "there is no generation before %s: there is nothing to roll back to", ids[0])
	}
	for _, name := range components {
		if err := shelfOf(shown).known(wish{component: name}); err != nil {
			return err
		}
	}
	return nil
}

// detached tells a caller that does not stay how to find the operation again.
func detached(operation uint64) string {
	return fmt.Sprintf("operation %d goes on on the device: `ashlar show install` shows it, `ashlar install abort` ends it", operation)
}
