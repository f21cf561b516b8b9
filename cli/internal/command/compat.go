// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

func (s *session) compat() *cobra.Command {
	c := &cobra.Command{
		Use:   "compat",
		Short: "Show which versions have passed their contract tests with which",
		Args:  cobra.ArbitraryArgs,
		RunE:  needSubcommand,

		SuggestionsMinimumDistance: suggestionDistance,
	}
	c.AddCommand(s.canInstall(), s.matrix())
	return c
}

func (s *session) canInstall() *cobra.Command {
	return &cobra.Command{
		Use:   "can-install " + componentArgument + "...",
		Short: "Say whether the device could run these versions, and what is missing where not",
		Long: `can-install judges the change as "ashlar install upgrade" would, and changes nothing: every set that would run on the way
there and back, consumer by provider. It returns 1 when the change is not allowed.

` + exitCodes,
		Args:              between(1, -1, componentArgument),
		RunE:              func(c *cobra.Command, args []string) error { return s.runCanInstall(c.Context(), args) },
		ValidArgsFunction: s.completePackages,
	}
}

// judge asks about the changes that the arguments name.
func (s *session) judge(ctx context.Context, args []string) (*pkgv1.JudgeResponse, *depot, error) {
	wishes, err := parseWishes(args)
	if err != nil {
		return nil, nil, err
	}
	d, err := s.depot()
	if err != nil {
		return nil, nil, err
	}
	var changes []*pkgv1.Change
	if len(wishes) > 0 {
		shown, err := d.show(ctx)
		if err == nil {
			changes, err = shelfOf(shown).changes(wishes, anywhere)
		}
		if err != nil {
			d.Close()
			return nil, nil, err
		}
	}
	callCtx, cancel := s.bounded(ctx)
	defer cancel()
	resp, err := d.Judge(callCtx, &pkgv1.JudgeRequest{Changes: changes})
	if err != nil {
		defer d.Close()
		return nil, nil, d.explain(ctx, err)
	}
	return resp, d, nil
}

// reasonInfo is a reason as it is printed for programs.
type reasonInfo struct {
	Kind string    `json:"kind"`
	Text string    `json:"text"`
	Edge *edgeInfo `json:"edge,omitempty"`
}

// edgeInfo is a pair of consumer and provider as it is printed for programs.
type edgeInfo struct {
	Consumer        string `json:"consumer"`
	ConsumerVersion string `json:"consumer_version"`
	Contract        string `json:"contract"`
	Levels          string `json:"levels"`
	Provider        string `json:"provider,omitempty"`
	ProviderVersion string `json:"provider_version,omitempty"`
	ProviderDigest  string `json:"provider_digest,omitempty"`
	Level           uint32 `json:"level,omitempty"`
	ContractHash    string `json:"contract_hash,omitempty"`
	Result          string `json:"result"`
	Optional        bool   `json:"optional,omitempty"`
}

func edgeOf(e *pkgv1.Edge) edgeInfo {
	return edgeInfo{e.GetConsumer(), e.GetConsumerVersion(), e.GetContract(), e.GetLevels(), e.GetProvider(), e.GetProviderVersion(),
		e.GetProviderDigest(), e.GetLevel(), e.GetContractHash(), e.GetResult(), e.GetOptional()}
}

// reasonsOf are the reasons, each text once: the same edge stands in several sets.
func reasonsOf(resp *pkgv1.JudgeResponse) []reasonInfo {
	out := []reasonInfo{}
	for _, r := range resp.GetReasons() {
		if slices.ContainsFunc(out, func(i reasonInfo) bool { return i.Text == r.GetText() }) {
			continue
		}
		i := reasonInfo{Kind: r.GetKind(), Text: r.GetText()}
		if r.GetEdge() != nil {
			e := edgeOf(r.GetEdge())
			i.Edge = &e
		}
		out = append(out, i)
	}
	return out
}

func (s *session) runCanInstall(ctx context.Context, args []string) error {
	resp, d, err := s.judge(ctx, args)
	if err != nil {
		return err
	}
	defer d.Close()
	what, reasons := strings.Join(args, " "), reasonsOf(resp)
	if s.format != render.Table {
		data := map[string]any{"allowed": resp.GetAllowed(), "reasons": reasons, "sets_judged": resp.GetSets(), "edges_judged": len(resp.GetEdges())}
		if err := s.writer().Data(data); err != nil {
			return err
		}
	}
	if !resp.GetAllowed() {
		var lines strings.Builder
		for _, r := range reasons {
			fmt.Fprintf(&lines, "\n  - %s", r.Text)
		}
		return fail.Refusef("add what is missing with `ashlar install add`, then ask again", "%s cannot be installed:%s", what, lines.String())
	}
	if s.format != render.Table {
		return nil
	}
	_, err = fmt.Fprintf(s.Out, "%s can be installed: %s of versions and %s of consumer and provider judged; `ashlar install upgrade %s` makes it pending\n",
		what, count(int(resp.GetSets()), "set", "sets"), count(len(resp.GetEdges()), "pair", "pairs"), what)
	return err
}

func (s *session) matrix() *cobra.Command {
	return &cobra.Command{
		Use:   "matrix [" + componentArgument + "...]",
		Short: "Show who calls whom, at which level, and whether the two were tested together",
		Long:  `matrix shows the pairs of consumer and provider of the set that runs, or of the set that would run with these versions.`,
		Args:  between(0, -1, componentArgument),
		RunE:  func(c *cobra.Command, args []string) error { return s.runMatrix(c.Context(), args) },

		ValidArgsFunction: s.completePackages,
	}
}

func (s *session) runMatrix(ctx context.Context, args []string) error {
	resp, d, err := s.judge(ctx, args)
	if err != nil {
		return err
	}
	defer d.Close()
	edges := []edgeInfo{}
	for _, e := range resp.GetEdges() {
		edges = append(edges, edgeOf(e))
	}
	slices.SortStableFunc(edges, func(a, b edgeInfo) int {
		return cmp.Or(cmp.Compare(a.Consumer, b.Consumer), cmp.Compare(a.Contract, b.Contract), cmp.Compare(a.Provider, b.Provider))
	})
	reasons := reasonsOf(resp)
	g := render.Grid{Columns: []string{"CONSUMER", "VERSION", "CONTRACT", "WANTS", "PROVIDER", "VERSION", "HAS", "TESTS", "WHY NOT"}}
	for _, e := range edges {
		g.Add(edgeRow(e, whyNot(e, reasons))...)
	}
	if err := s.writer().Answer(g, map[string]any{"allowed": resp.GetAllowed(), "edges": edges, "reasons": reasons}); err != nil {
		return err
	}
	for _, r := range reasons {
		if r.Edge == nil && s.format == render.Table {
			fmt.Fprintln(s.Out, "- "+r.Text)
		}
	}
	return nil
}

func edgeRow(e edgeInfo, why string) []render.Cell {
	mood := render.Bad
	switch {
	case e.Result == "passed":
		mood = render.Good
	case e.Optional:
		mood = render.Faint
	}
	level := ""
	if e.Provider != "" {
		level = fmt.Sprint(e.Level)
	}
	result := e.Result
	if e.Optional && e.Provider == "" {
		result = "not needed"
	}
	return []render.Cell{render.Text(e.Consumer), render.Text(e.ConsumerVersion), render.Text(e.Contract), render.Text(e.Levels), render.Text(e.Provider),
		render.Text(e.ProviderVersion), render.Text(level), {Text: result, Mood: mood}, render.Text(why)}
}

// whyNot is the reason that names an edge, or one that holds for the contract whoever provides it.
func whyNot(e edgeInfo, reasons []reasonInfo) string {
	general := ""
	for _, r := range reasons {
		if r.Edge == nil || r.Edge.Consumer != e.Consumer || r.Edge.Contract != e.Contract {
			continue
		}
		text := strings.ReplaceAll(r.Text, "\n", " ")
		if r.Edge.Provider == e.Provider {
			return text
		}
		if e.Result == "missing" && !strings.Contains(text, r.Edge.Provider) {
			general = text
		}
	}
	return general
}
