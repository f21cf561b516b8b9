// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// operation are the leaves of one operation, at its newest step.
func operation(leaves map[string]any, op *pkgv1.Operation, s *step) {
	at := fmt.Sprintf("%s/operations/operation[id=%d]/state/", top, op.GetId())
	leaves[at+"id"] = op.GetId()
	leaves[at+"kind"] = op.GetKind()
	leaves[at+"outcome"] = outcome(op.GetOutcome())
	say(leaves, at+"by", op.GetBy())
	say(leaves, at+"reason", op.GetReason())
	say(leaves, at+"phase", op.GetProgress().GetPhase())
	if t := op.GetBegan(); t != nil {
		leaves[at+"began"] = nanoseconds(t)
	}
	if t := op.GetEnded(); t != nil {
		leaves[at+"ended"] = nanoseconds(t)
	}
	if n := len(op.GetSteps()); n > 0 {
		leaves[at+"steps"] = uint32(n)
	}
	s.leaves(leaves, at)
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
