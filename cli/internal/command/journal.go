// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// journal is what was heard of one operation.
type journal struct {
	operation uint64
	steps     []*pkgv1.PlannedStep
	// asked: the device was asked for the steps and said none that fit.
	asked bool
	// last is the time of the newest progress. A source that was resumed begins with what was heard before.
	last    time.Time
	resumed bool
	// readings are the newest of each gate by step, frozen the longest freeze of each.
	readings map[uint32]map[string]*pkgv1.GateReading
	frozen   map[uint32]uint64
	outcome  pkgv1.Outcome
	reason   string
	at       string
}

func newJournal(steps []*pkgv1.PlannedStep) *journal {
	return &journal{steps: steps, readings: map[uint32]map[string]*pkgv1.GateReading{}, frozen: map[uint32]uint64{}}
}

// over reports whether the outcome is known.
func (j *journal) over() bool {
	return j.outcome != pkgv1.Outcome_OUTCOME_UNSPECIFIED && j.outcome != pkgv1.Outcome_OUTCOME_RUNNING
}

// enter takes a progress; false if it was taken before.
func (j *journal) enter(p *pkgv1.Progress) bool {
	at := p.GetTime().AsTime()
	ends := p.GetOutcome() != pkgv1.Outcome_OUTCOME_UNSPECIFIED && p.GetOutcome() != pkgv1.Outcome_OUTCOME_RUNNING
	if j.resumed && !at.After(j.last) && !ends {
		return false
	}
	j.last, j.resumed = at, false
	if p.GetOperation() != 0 {
		j.operation = p.GetOperation()
	}
	if p.GetComponent() != "" {
		j.at = p.GetComponent()
	}
	for _, g := range p.GetGates() {
		if j.readings[p.GetStep()] == nil {
			j.readings[p.GetStep()] = map[string]*pkgv1.GateReading{}
		}
		j.readings[p.GetStep()][g.GetName()] = g
	}
	j.frozen[p.GetStep()] = max(j.frozen[p.GetStep()], p.GetFrozenUs())
	if ends {
		j.outcome, j.reason = p.GetOutcome(), p.GetMessage()
	}
	return true
}

// planned reports whether the versions of a progress's step are known, or need not be asked for again.
func (j *journal) planned(p *pkgv1.Progress) bool {
	return p.GetComponent() == "" || j.step(p) != nil || j.asked
}

func (j *journal) plan(steps []*pkgv1.PlannedStep) {
	j.asked = true
	if len(steps) > 0 {
		j.steps = steps
	}
}

// step is the planned step of a progress, nil if it is not known.
func (j *journal) step(p *pkgv1.Progress) *pkgv1.PlannedStep {
	i := slices.IndexFunc(j.steps, func(s *pkgv1.PlannedStep) bool { return s.GetComponent() == p.GetComponent() })
	if i < 0 {
		return nil
	}
	return j.steps[i]
}

// change names a step's component and versions, for example "rib 1.0.0 → 1.1.0".
func (j *journal) change(p *pkgv1.Progress) string {
	s := j.step(p)
	switch {
	case s == nil:
		return p.GetComponent()
	case s.GetFromVersion() == "":
		return fmt.Sprintf("%s → %s", s.GetComponent(), s.GetToVersion())
	case s.GetToVersion() == "":
		return fmt.Sprintf("%s %s → removed", s.GetComponent(), s.GetFromVersion())
	}
	return fmt.Sprintf("%s %s → %s", s.GetComponent(), s.GetFromVersion(), s.GetToVersion())
}

// gateInfo is a gate as it is printed for programs.
type gateInfo struct {
	Name    string `json:"name"`
	Value   uint64 `json:"value"`
	Most    uint64 `json:"most"`
	Missing string `json:"missing,omitempty"`
}

// sums adds the gates of all steps up, in the order of their names.
func (j *journal) sums() []gateInfo {
	sums := map[string]gateInfo{}
	for _, step := range j.readings {
		for name, g := range step {
			sum := sums[name]
			sums[name] = gateInfo{Name: name, Value: sum.Value + g.GetValue(), Most: max(sum.Most, g.GetMost()), Missing: g.GetMissing() + sum.Missing}
		}
	}
	out := []gateInfo{}
	for _, name := range sorted(sums) {
		out = append(out, sums[name])
	}
	return out
}

func (j *journal) longestFreeze() uint64 {
	longest := uint64(0)
	for _, us := range j.frozen {
		longest = max(longest, us)
	}
	return longest
}

// totals say what the operation cost.
func (j *journal) totals() string {
	parts := []string{}
	if n := len(j.frozen); n > 0 && len(j.steps) > 0 {
		parts = append(parts, count(len(j.steps), "step", "steps"))
	}
	for _, g := range j.sums() {
		parts = append(parts, fmt.Sprintf("%s %d", g.Name, g.Value))
	}
	return strings.Join(append(parts, "longest freeze "+microseconds(j.longestFreeze())), ", ")
}

// failure says how the operation ended, and where and why.
func (j *journal) failure() string {
	how := map[pkgv1.Outcome]string{
		pkgv1.Outcome_OUTCOME_REVERSED: "failed and everything is as before",
		pkgv1.Outcome_OUTCOME_FAILED:   "failed and was not taken back completely",
		pkgv1.Outcome_OUTCOME_REFUSED:  "was refused and did not begin",
		pkgv1.Outcome_OUTCOME_ABORTED:  "was aborted and everything is as before",
	}[j.outcome]
	text := how
	if j.at != "" {
		text += ", at " + j.at
	}
	if j.reason != "" {
		text += ": " + j.reason
	}
	return text
}

// operationSummary is the end of an operation for programs.
type operationSummary struct {
	Operation uint64     `json:"operation"`
	Outcome   string     `json:"outcome"`
	Reason    string     `json:"reason,omitempty"`
	Steps     []stepInfo `json:"steps"`
	Gates     []gateInfo `json:"gates"`
	FrozenUS  uint64     `json:"longest_freeze_us"`
}

func (j *journal) summary() operationSummary {
	return operationSummary{j.operation, word(j.outcome.String()), j.reason, stepsOf(j.steps), j.sums(), j.longestFreeze()}
}

// microseconds is a short duration for people.
func microseconds(us uint64) string { return fmt.Sprintf("%.1f ms", float64(us)/1000) }
