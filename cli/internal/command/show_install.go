// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/render"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

func (s *session) showInstall() *cobra.Command {
	c := &cobra.Command{
		Use:   "install",
		Short: "Show which versions run, are committed, stand in the store, and what happened to them",
		Args:  between(0, 0, "one of active, committed, inactive, pending, history and which, or nothing for a summary"),
		RunE:  s.shown(s.printInstall),

		SuggestionsMinimumDistance: suggestionDistance,
	}
	for _, sub := range []struct {
		use, short string
		print      func(*pkgv1.ShowResponse) error
	}{
		{"active", "Show the set that runs", s.printActive},
		{"committed", "Show the set that the device boots", s.printCommitted},
		{"inactive", "Show packages in the store that do not run", s.printInactive},
		{"pending", "Show what the next apply would do", s.printPending},
		{"history", "Show operations and the generations they made", s.printHistory},
	} {
		c.AddCommand(&cobra.Command{Use: sub.use, Short: sub.short, Args: between(0, 0, "no arguments"), RunE: s.shown(sub.print)})
	}
	c.AddCommand(s.showWhich())
	return c
}

// shown runs a command that prints what the package manager shows.
func (s *session) shown(print func(*pkgv1.ShowResponse) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		resp, err := s.fetchShow(c.Context())
		if err != nil {
			return err
		}
		return print(resp)
	}
}

func (s *session) fetchShow(ctx context.Context) (*pkgv1.ShowResponse, error) {
	d, err := s.depot()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.show(ctx)
}

// packageInfo is a package as it is printed for programs.
type packageInfo struct {
	Component  string     `json:"component"`
	Version    string     `json:"version"`
	Digest     string     `json:"digest"`
	Summary    string     `json:"summary,omitempty"`
	Signer     string     `json:"signer,omitempty"`
	Size       uint64     `json:"size_bytes"`
	Active     bool       `json:"active"`
	Committed  bool       `json:"committed"`
	Handover   string     `json:"handover,omitempty"`
	Added      *time.Time `json:"added,omitempty"`
	Quarantine string     `json:"quarantine,omitempty"`
}

func packageOf(p *pkgv1.Package) packageInfo {
	i := packageInfo{
		Component: p.GetComponent(), Version: p.GetVersion(), Digest: p.GetDigest(), Summary: p.GetSummary(), Signer: p.GetSigner(),
		Size: p.GetSizeBytes(), Active: p.GetActive(), Committed: p.GetCommitted(), Handover: p.GetHandover(), Quarantine: p.GetQuarantine(),
	}
	if p.GetAdded() != nil {
		t := p.GetAdded().AsTime()
		i.Added = &t
	}
	return i
}

// memberInfo is a member of a set as it is printed for programs.
type memberInfo struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	Digest    string `json:"digest"`
	Committed bool   `json:"committed"`
	Signer    string `json:"signer,omitempty"`
	Handover  string `json:"handover,omitempty"`
}

// printActive shows the running set.
func (s *session) printActive(resp *pkgv1.ShowResponse) error {
	return s.printMembers(resp, resp.GetRunning())
}

func (s *session) printCommitted(resp *pkgv1.ShowResponse) error {
	return s.printMembers(resp, situationOf(resp, time.Now()).committed().GetMembers())
}

func (s *session) printMembers(resp *pkgv1.ShowResponse, members []*pkgv1.Member) error {
	committed := map[string]bool{}
	for _, m := range situationOf(resp, time.Now()).committed().GetMembers() {
		committed[m.GetDigest()] = true
	}
	packages := map[string]*pkgv1.Package{}
	for _, p := range resp.GetPackages() {
		packages[p.GetDigest()] = p
	}
	data := []memberInfo{}
	g := render.Grid{Columns: []string{"COMPONENT", "VERSION", "PACKAGE", "COMMITTED", "HANDOVER", "SIGNER"}}
	for _, m := range members {
		p := packages[m.GetDigest()]
		i := memberInfo{m.GetComponent(), m.GetVersion(), m.GetDigest(), committed[m.GetDigest()], p.GetSigner(), p.GetHandover()}
		data = append(data, i)
		g.Add(render.Text(i.Component), render.Text(i.Version), render.Text(short(i.Digest)), yesNo(i.Committed), render.Text(i.Handover), render.Text(i.Signer))
	}
	return s.writer().Answer(g, data)
}

func yesNo(yes bool) render.Cell {
	if yes {
		return render.Cell{Text: "yes", Mood: render.Good}
	}
	return render.Cell{Text: "no", Mood: render.Waiting}
}

func (s *session) printInactive(resp *pkgv1.ShowResponse) error {
	data := []packageInfo{}
	g := render.Grid{Columns: []string{"COMPONENT", "VERSION", "PACKAGE", "COMMITTED", "HANDOVER", "SIZE", "SIGNER", "QUARANTINE"}}
	for _, p := range resp.GetPackages() {
		if p.GetActive() {
			continue
		}
		i := packageOf(p)
		data = append(data, i)
		g.Add(render.Text(i.Component), render.Text(i.Version), render.Text(short(i.Digest)), yesNo(i.Committed), render.Text(i.Handover),
			render.Text(size(i.Size)), render.Text(i.Signer), render.Cell{Text: i.Quarantine, Mood: render.Bad})
	}
	return s.writer().Answer(g, data)
}

func (s *session) printPending(resp *pkgv1.ShowResponse) error {
	if len(resp.GetPending().GetSteps()) == 0 && s.format == render.Table {
		_, err := fmt.Fprintln(s.Out, "nothing is pending; `ashlar install upgrade "+componentArgument+"` says what to change")
		return err
	}
	return s.printPlan(resp.GetPending(), planNote(false, false))
}

// installInfo is the summary for programs.
type installInfo struct {
	Committed   uint64         `json:"committed_generation"`
	Running     []memberInfo   `json:"running"`
	Uncommitted []string       `json:"uncommitted"`
	RevertsAt   *time.Time     `json:"reverts_at,omitempty"`
	Pending     *planInfo      `json:"pending,omitempty"`
	Current     *operationInfo `json:"current,omitempty"`
}

// printInstall is the summary: what runs against what is committed, what is pending, what goes on.
func (s *session) printInstall(resp *pkgv1.ShowResponse) error {
	now := situationOf(resp, time.Now())
	if s.format != render.Table {
		return s.writer().Data(now.info())
	}
	if err := s.writer().Grid(now.grid()); err != nil {
		return err
	}
	text, _ := now.standing()
	lines := []string{"", text}
	if op := resp.GetCurrent(); op.GetId() != 0 {
		lines = append(lines, operationWords(op, now.now))
	}
	if _, err := fmt.Fprintln(s.Out, strings.Join(lines, "\n")); err != nil {
		return err
	}
	if steps := resp.GetPending().GetSteps(); len(steps) > 0 {
		fmt.Fprintln(s.Out)
		return s.printPlan(resp.GetPending(), "")
	}
	return nil
}

func (s situation) info() installInfo {
	i := installInfo{Committed: s.resp.GetCommittedGeneration(), Running: []memberInfo{}, Uncommitted: s.uncommitted()}
	for _, m := range s.resp.GetRunning() {
		i.Running = append(i.Running, memberInfo{Component: m.GetComponent(), Version: m.GetVersion(), Digest: m.GetDigest(), Committed: s.commits(m)})
	}
	if i.Uncommitted == nil {
		i.Uncommitted = []string{}
	}
	if t := s.resp.GetRevertsAt(); t != nil {
		at := t.AsTime()
		i.RevertsAt = &at
	}
	if p := s.resp.GetPending(); len(p.GetSteps()) > 0 {
		i.Pending = &planInfo{stepsOf(p.GetSteps()), p.GetSets(), p.GetEdges()}
	}
	if op := s.resp.GetCurrent(); op.GetId() != 0 {
		o := operationOfInfo(op)
		i.Current = &o
	}
	return i
}

// commits reports whether a member is in the committed generation.
func (s situation) commits(m *pkgv1.Member) bool {
	for _, c := range s.committed().GetMembers() {
		if c.GetComponent() == m.GetComponent() {
			return c.GetDigest() == m.GetDigest()
		}
	}
	return false
}

// grid has a row for each component that runs or is committed.
func (s situation) grid() render.Grid {
	g := render.Grid{Columns: []string{"COMPONENT", "RUNS", "COMMITTED", "IN STORE"}}
	committed, running := map[string]*pkgv1.Member{}, map[string]*pkgv1.Member{}
	for _, m := range s.committed().GetMembers() {
		committed[m.GetComponent()], running[m.GetComponent()] = m, nil
	}
	for _, m := range s.resp.GetRunning() {
		running[m.GetComponent()] = m
	}
	store := shelfOf(s.resp)
	for _, name := range sorted(running) {
		mood := render.Good
		if running[name].GetDigest() != committed[name].GetDigest() {
			mood = render.Waiting
		}
		var others []string
		for _, p := range store.packages[name] {
			if !p.GetActive() {
				others = append(others, p.GetVersion())
			}
		}
		g.Add(render.Text(name), render.Cell{Text: running[name].GetVersion(), Mood: mood}, render.Text(committed[name].GetVersion()), render.Text(strings.Join(others, ", ")))
	}
	return g
}
