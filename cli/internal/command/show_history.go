// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-nos/ashlar/cli/internal/render"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// operationInfo is an operation as it is printed for programs.
type operationInfo struct {
	ID      uint64     `json:"id"`
	Kind    string     `json:"kind"`
	Began   *time.Time `json:"began,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	Outcome string     `json:"outcome"`
	Reason  string     `json:"reason,omitempty"`
	By      string     `json:"by,omitempty"`
	Steps   []stepInfo `json:"steps"`
	Step    uint32     `json:"step,omitempty"`
	Phase   string     `json:"phase,omitempty"`
	Gates   []gateInfo `json:"gates,omitempty"`
}

func operationOfInfo(op *pkgv1.Operation) operationInfo {
	i := operationInfo{
		ID: op.GetId(), Kind: op.GetKind(), Outcome: word(op.GetOutcome().String()), Reason: op.GetReason(), By: op.GetBy(),
		Steps: stepsOf(op.GetSteps()), Step: op.GetProgress().GetStep(), Phase: op.GetProgress().GetPhase(),
	}
	if t := op.GetBegan(); t != nil {
		at := t.AsTime()
		i.Began = &at
	}
	if t := op.GetEnded(); t != nil {
		at := t.AsTime()
		i.Ended = &at
	}
	for _, g := range op.GetProgress().GetGates() {
		i.Gates = append(i.Gates, gateInfo{g.GetName(), g.GetValue(), g.GetMost(), g.GetMissing()})
	}
	return i
}

// operationWords say in a line what an operation does, or did.
func operationWords(op *pkgv1.Operation, now time.Time) string {
	text := fmt.Sprintf("operation %d (%s) ", op.GetId(), op.GetKind())
	if op.GetOutcome() != pkgv1.Outcome_OUTCOME_RUNNING {
		text += fmt.Sprintf("%s %s ago", word(op.GetOutcome().String()), age(now.Sub(op.GetEnded().AsTime())))
		if op.GetReason() != "" {
			text += ": " + op.GetReason()
		}
		return text
	}
	p := op.GetProgress()
	if p.GetStep() > 0 {
		text += fmt.Sprintf("is at step %d of %d, ", p.GetStep(), p.GetSteps())
	}
	j := newJournal(op.GetSteps())
	text += strings.TrimSpace(fmt.Sprintf("%s, %s", j.change(p), p.GetPhase()))
	for _, g := range p.GetGates() {
		text += ", " + gateText(g)
	}
	return text
}

// generationInfo is a generation as it is printed for programs.
type generationInfo struct {
	ID        uint64       `json:"id"`
	Made      *time.Time   `json:"made,omitempty"`
	Operation uint64       `json:"operation,omitempty"`
	Committed bool         `json:"committed"`
	Changes   []string     `json:"changes"`
	Members   []memberInfo `json:"members"`
}

func (s *session) printHistory(resp *pkgv1.ShowResponse) error {
	operations, generations := operationsOf(resp), generationsOf(resp)
	if s.format != render.Table {
		return s.writer().Data(map[string]any{"operations": operations, "generations": generations})
	}
	g := render.Grid{Columns: []string{"OPERATION", "KIND", "BEGAN", "TOOK", "BY", "OUTCOME", "STEPS", "REASON"}}
	for _, op := range operations {
		g.Add(operationRow(op)...)
	}
	if err := s.writer().Grid(g); err != nil {
		return err
	}
	g = render.Grid{Columns: []string{"GENERATION", "MADE", "OPERATION", "COMMITTED", "CHANGES"}}
	for _, i := range generations {
		g.Add(render.Textf("%d", i.ID), render.Text(moment(i.Made)), render.Text(number(i.Operation)), yesNo(i.Committed), render.Text(strings.Join(i.Changes, ", ")))
	}
	fmt.Fprintln(s.Out)
	return s.writer().Grid(g)
}

// operationsOf are the operations, newest first, each once.
func operationsOf(resp *pkgv1.ShowResponse) []operationInfo {
	byID := map[uint64]*pkgv1.Operation{}
	for _, op := range append(slices.Clone(resp.GetHistory()), resp.GetCurrent()) {
		if op.GetId() != 0 {
			byID[op.GetId()] = op
		}
	}
	out := []operationInfo{}
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(byID))) {
		out = append(out, operationOfInfo(byID[id]))
	}
	return out
}

func operationRow(op operationInfo) []render.Cell {
	mood := render.Bad
	switch op.Outcome {
	case "succeeded":
		mood = render.Good
	case "running":
		mood = render.Waiting
	}
	took := ""
	if op.Began != nil && op.Ended != nil {
		took = op.Ended.Sub(*op.Began).Round(time.Millisecond).String()
	}
	var steps []string
	for _, step := range op.Steps {
		steps = append(steps, changeWords(step))
	}
	return []render.Cell{render.Text(number(op.ID)), render.Text(op.Kind), render.Text(moment(op.Began)), render.Text(took), render.Text(op.By),
		{Text: op.Outcome, Mood: mood}, render.Text(strings.Join(steps, ", ")), render.Text(strings.ReplaceAll(op.Reason, "\n", " "))}
}

func changeWords(i stepInfo) string {
	switch {
	case i.FromVersion == "":
		return i.Component + " → " + i.ToVersion
	case i.ToVersion == "":
		return i.Component + " " + i.FromVersion + " → removed"
	}
	return i.Component + " " + i.FromVersion + " → " + i.ToVersion
}

// generationsOf are the generations, newest first, each with what it changed of the one before.
func generationsOf(resp *pkgv1.ShowResponse) []generationInfo {
	out := []generationInfo{}
	var before *pkgv1.Generation
	for _, g := range resp.GetGenerations() {
		i := generationInfo{ID: g.GetId(), Operation: g.GetOperation(), Committed: g.GetId() == resp.GetCommittedGeneration(), Changes: changesSince(before, g)}
		if t := g.GetMade(); t != nil {
			at := t.AsTime()
			i.Made = &at
		}
		for _, m := range g.GetMembers() {
			i.Members = append(i.Members, memberInfo{Component: m.GetComponent(), Version: m.GetVersion(), Digest: m.GetDigest(), Committed: i.Committed})
		}
		out = append([]generationInfo{i}, out...)
		before = g
	}
	return out
}

func changesSince(before, g *pkgv1.Generation) []string {
	if before == nil {
		return []string{count(len(g.GetMembers()), "component", "components")}
	}
	old := map[string]*pkgv1.Member{}
	for _, m := range before.GetMembers() {
		old[m.GetComponent()] = m
	}
	out := []string{}
	for _, m := range g.GetMembers() {
		was := old[m.GetComponent()]
		delete(old, m.GetComponent())
		if was.GetDigest() != m.GetDigest() {
			out = append(out, changeWords(stepInfo{Component: m.GetComponent(), FromVersion: was.GetVersion(), ToVersion: m.GetVersion()}))
		}
	}
	for _, name := range sorted(old) {
		out = append(out, changeWords(stepInfo{Component: name, FromVersion: old[name].GetVersion()}))
	}
	return out
}

// moment is a time for people, in their time zone.
func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// number is an id; 0 is none.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
