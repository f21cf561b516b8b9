// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"maps"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// gateLeaves are the gates that have leaves of their own, by the names that manifests and package gates give them.
var gateLeaves = map[string]string{"packets lost": "packets-lost", "calls failed": "calls-failed"}

// step is what was heard of an operation's step. Not every progress has all of it, and that of the operation's end is of
// no step: what was known last stands.
type step struct {
	number  uint32
	planned *pkgv1.PlannedStep
	counts  map[string]uint64
	frozen  uint64
}

// after returns the step after an operation's newest progress. s may be nil, and stays as it is.
func (s *step) after(op *pkgv1.Operation) *step {
	p, steps := op.GetProgress(), op.GetSteps()
	next := &step{counts: map[string]uint64{}}
	if s != nil && (p.GetStep() == 0 || p.GetStep() == s.number) {
		*next = step{s.number, s.planned, maps.Clone(s.counts), s.frozen}
	}
	if n := int(p.GetStep()); n >= 1 && n <= len(steps) {
		next.number, next.planned = p.GetStep(), steps[n-1]
	}
	for _, g := range p.GetGates() {
		if leaf, ok := gateLeaves[g.GetName()]; ok && g.GetMissing() == "" {
			next.counts[leaf] = g.GetValue()
		}
	}
	if p.GetFrozenUs() > 0 {
		next.frozen = p.GetFrozenUs()
	}
	return next
}

// leaves are those of the step, below an operation's state.
func (s *step) leaves(leaves map[string]any, at string) {
	if s.planned != nil {
		leaves[at+"step"] = s.number
		leaves[at+"component"] = s.planned.GetComponent()
		say(leaves, at+"from-version", s.planned.GetFromVersion())
		say(leaves, at+"to-version", s.planned.GetToVersion())
	}
	for leaf, n := range s.counts {
		leaves[at+leaf] = n
	}
	if s.frozen > 0 {
		leaves[at+"frozen-time"] = s.frozen
	}
}
