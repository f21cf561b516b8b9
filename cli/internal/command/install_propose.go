// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// proposeFlags are the flags of the commands that make the pending transaction.
type proposeFlags struct {
	add, dryRun, apply bool
	applyFlags
}

func (f *proposeFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.add, "add", false, "add to what is pending instead of replacing it")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "judge and print the plan, keep nothing")
	c.Flags().BoolVar(&f.apply, "apply", false, "carry it out at once")
	f.applyFlags.register(c)
}

func (s *session) installUpgrade() *cobra.Command {
	var f proposeFlags
	c := &cobra.Command{
		Use:   "upgrade " + componentArgument + "...",
		Short: "Say which components the next apply shall upgrade, and whether they may",
		Long: `upgrade makes the pending transaction: the newest version in the store, or the one that is named. It is judged at once:
every set of versions that would run on the way there and back must have passed its contract tests together.
A VERSION is a version or the first 8 or more digits of a package's digest. --commit goes on with apply and commit.

` + exitCodes,
		Args:              between(1, -1, componentArgument),
		RunE:              func(c *cobra.Command, args []string) error { return s.runPropose(c.Context(), f, args, newer) },
		ValidArgsFunction: s.completePackages,
	}
	f.register(c)
	return c
}

func (s *session) installDowngrade() *cobra.Command {
	var f proposeFlags
	c := &cobra.Command{
		Use:   "downgrade " + componentArgument + "...",
		Short: "Say which components the next apply shall take to an older version",
		Long: `downgrade makes the pending transaction as upgrade does, for older versions: the newest in the store that is older than
the running one, or the one that is named. To undo an upgrade as a whole use "ashlar install rollback".

` + exitCodes,
		Args:              between(1, -1, componentArgument),
		RunE:              func(c *cobra.Command, args []string) error { return s.runPropose(c.Context(), f, args, older) },
		ValidArgsFunction: s.completePackages,
	}
	f.register(c)
	return c
}

func (s *session) installRemove() *cobra.Command {
	var f proposeFlags
	c := &cobra.Command{
		Use:   "remove COMPONENT...",
		Short: "Say which components the next apply shall take off the device",
		Long: `remove makes the pending transaction: the components are drained and leave the running set. Their packages stay in the
store, so that a rollback finds them; "ashlar install discard" removes those.

` + exitCodes,
		Args:              between(1, -1, "COMPONENT"),
		RunE:              func(c *cobra.Command, args []string) error { return s.runPropose(c.Context(), f, args, gone) },
		ValidArgsFunction: s.completePackages,
	}
	f.register(c)
	return c
}

func (s *session) runPropose(ctx context.Context, f proposeFlags, args []string, wish direction) error {
	if f.dryRun && (f.apply || f.commit) {
		return fail.Usagef("--dry-run keeps nothing that could be applied: leave out --apply and --commit")
	}
	if err := f.check(); err != nil {
		return err
	}
	wanted, err := parseWishes(args)
	if err != nil {
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
	changes, err := shelfOf(shown).changes(wanted, wish)
	if err != nil {
		return d.standing(ctx, err)
	}
	callCtx, cancel := s.bounded(ctx)
	defer cancel()
	resp, err := d.Propose(callCtx, &pkgv1.ProposeRequest{Changes: changes, Add: f.add, DryRun: f.dryRun})
	if err != nil {
		return d.explain(ctx, err)
	}
	going := f.apply || f.commit
	if err := s.printPlan(resp.GetPlan(), planNote(f.dryRun, going)); err != nil || !going {
		return err
	}
	return s.apply(ctx, d, resp.GetPlan().GetSteps(), f.applyFlags)
}

func planNote(dryRun, going bool) string {
	switch {
	case dryRun:
		return "nothing was kept: this was a dry run"
	case going:
		return ""
	}
	return "pending; `ashlar install apply` carries it out"
}

// stepInfo is a planned step as it is printed for programs.
type stepInfo struct {
	Component   string `json:"component"`
	FromVersion string `json:"from_version,omitempty"`
	FromDigest  string `json:"from_digest,omitempty"`
	ToVersion   string `json:"to_version,omitempty"`
	ToDigest    string `json:"to_digest,omitempty"`
	Handover    string `json:"handover,omitempty"`
}

// planInfo is a plan as it is printed for programs.
type planInfo struct {
	Steps []stepInfo `json:"steps"`
	Sets  uint32     `json:"sets_judged"`
	Edges uint32     `json:"edges_judged"`
}

func stepsOf(steps []*pkgv1.PlannedStep) []stepInfo {
	out := []stepInfo{}
	for _, p := range steps {
		out = append(out, stepInfo{p.GetComponent(), p.GetFromVersion(), p.GetFromDigest(), p.GetToVersion(), p.GetToDigest(), p.GetHandover()})
	}
	return out
}

// printPlan shows what apply would do; the note is for people.
func (s *session) printPlan(p *pkgv1.Plan, note string) error {
	g := render.Grid{Columns: []string{"STEP", "COMPONENT", "FROM", "TO", "PACKAGE", "HANDOVER"}}
	for i, step := range stepsOf(p.GetSteps()) {
		g.Add(render.Textf("%d", i+1), render.Text(step.Component), render.Text(step.FromVersion), render.Text(step.ToVersion),
			render.Text(short(step.ToDigest)), render.Text(step.Handover))
	}
	if err := s.writer().Answer(g, planInfo{stepsOf(p.GetSteps()), p.GetSets(), p.GetEdges()}); err != nil || s.format != render.Table {
		return err
	}
	_, err := fmt.Fprintf(s.Out, "%s of versions would run on the way there and back; tested together: %s of consumer and provider\n",
		count(int(p.GetSets()), "set", "sets"), count(int(p.GetEdges()), "pair", "pairs"))
	if err == nil && note != "" {
		_, err = fmt.Fprintln(s.Out, note)
	}
	return err
}

// completePackages offers components and, after "=", their versions in the store.
func (s *session) completePackages(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	d, err := s.depot()
	if err != nil {
		return nil, none
	}
	defer d.Close()
	d.limit = min(d.limit, completionLimit)
	shown, err := d.show(c.Context())
	if err != nil {
		return nil, none
	}
	offers := map[string]bool{}
	for _, p := range shown.GetPackages() {
		if strings.Contains(begun, "=") {
			offers[p.GetComponent()+"="+p.GetVersion()] = true
		} else {
			offers[p.GetComponent()] = true
		}
	}
	return slices.Sorted(maps.Keys(offers)), none
}
