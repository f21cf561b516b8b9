// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// The gates that have leaves of their own, as their manifests and package gates call them.
var gateLeaves = map[string]string{"packets lost": "packets-lost", "calls failed": "calls-failed"}

// operation are the leaves of one operation.
func operation(leaves map[string]any, op *pkgv1.Operation) {
	at := fmt.Sprintf("%s/operations/operation[id=%d]/state/", top, op.GetId())
	p := op.GetProgress()
	leaves[at+"id"] = op.GetId()
	leaves[at+"kind"] = op.GetKind()
	leaves[at+"outcome"] = outcome(op.GetOutcome())
	say(leaves, at+"by", op.GetBy())
	say(leaves, at+"reason", op.GetReason())
	say(leaves, at+"phase", p.GetPhase())
	if t := op.GetBegan(); t != nil {
		leaves[at+"began"] = nanoseconds(t)
	}
	if t := op.GetEnded(); t != nil {
		leaves[at+"ended"] = nanoseconds(t)
	}
	if p.GetSteps() > 0 || len(op.GetSteps()) > 0 {
		leaves[at+"step"], leaves[at+"steps"] = p.GetStep(), max(p.GetSteps(), uint32(len(op.GetSteps())))
	}
	step(leaves, at, op)
}

// step are the leaves of an operation's step under way, or of its last one.
func step(leaves map[string]any, at string, op *pkgv1.Operation) {
	p := op.GetProgress()
	if s := stepOf(op); s != nil {
		leaves[at+"component"] = s.GetComponent()
		say(leaves, at+"from-version", s.GetFromVersion())
		say(leaves, at+"to-version", s.GetToVersion())
	} else {
		say(leaves, at+"component", p.GetComponent())
	}
	for _, g := range p.GetGates() {
		if leaf, ok := gateLeaves[g.GetName()]; ok && g.GetMissing() == "" {
			leaves[at+leaf] = g.GetValue()
		}
	}
	if p.GetFrozenUs() > 0 {
		leaves[at+"frozen-time"] = p.GetFrozenUs()
	}
}

// stepOf is the step that the progress is of, nil if it is of the operation as a whole and there are several.
func stepOf(op *pkgv1.Operation) *pkgv1.PlannedStep {
	steps, n := op.GetSteps(), op.GetProgress().GetStep()
	switch {
	case n >= 1 && int(n) <= len(steps):
		return steps[n-1]
	case len(steps) == 1:
		return steps[0]
	}
	return nil
}

// pack are the leaves of one package.
func pack(leaves map[string]any, p *pkgv1.Package) {
	at := fmt.Sprintf("%s/packages/package[component=%s][version=%s]/state/", top, p.GetComponent(), p.GetVersion())
	leaves[at+"component"] = p.GetComponent()
	leaves[at+"version"] = p.GetVersion()
	leaves[at+"digest"] = p.GetDigest()
	leaves[at+"active"] = p.GetActive()
	leaves[at+"committed"] = p.GetCommitted()
	say(leaves, at+"signer", p.GetSigner())
	say(leaves, at+"quarantine", p.GetQuarantine())
}

// say sets a leaf unless there is nothing to say.
func say(leaves map[string]any, path, text string) {
	if text != "" {
		leaves[path] = text
	}
}

// outcome is an outcome as the model names it.
func outcome(o pkgv1.Outcome) string {
	if o == pkgv1.Outcome_OUTCOME_UNSPECIFIED {
		o = pkgv1.Outcome_OUTCOME_RUNNING
	}
	return strings.TrimPrefix(o.String(), "OUTCOME_")
}

func nanoseconds(t *timestamppb.Timestamp) uint64 { return uint64(t.AsTime().UnixNano()) }
