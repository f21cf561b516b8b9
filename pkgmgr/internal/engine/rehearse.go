// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

// named is how many items a difference names.
const named = 3

// difference says in words what the candidate would do otherwise than the running version does; empty when nothing.
// A running version that cannot rehearse has nothing to be compared with.
func difference(s Step, r *supervisorv1.RehearseResponse) string {
	candidate := r.GetCandidate()
	if !candidate.GetSynced() {
		return notSynced(s.Component+" "+s.ToVersion, candidate.GetMissing())
	}
	running := r.GetRunning()
	if running == nil {
		return ""
	}
	if !running.GetSynced() {
		return notSynced(s.Component+" "+s.FromVersion+", which runs,", running.GetMissing())
	}
	for _, have := range running.GetOutputs() {
		would := output(candidate, have.GetName())
		if would == nil {
			return fmt.Sprintf("%s %s does not say what it would write of %s, of which %s %s writes %d",
				s.Component, s.ToVersion, have.GetName(), s.Component, s.FromVersion, have.GetItems())
		}
		if would.GetItems() != have.GetItems() || !bytes.Equal(would.GetDigest(), have.GetDigest()) {
			return fmt.Sprintf("%s %s would write %d %s where %s %s writes %d%s", s.Component, s.ToVersion, would.GetItems(),
				have.GetName(), s.Component, s.FromVersion, have.GetItems(), itemsOf(have, would))
		}
	}
	return ""
}

func notSynced(who, missing string) string {
	if missing == "" {
		missing = "it does not say what is missing"
	}
	return fmt.Sprintf("%s has not taken its inputs yet: %s", who, missing)
}

func output(r *lifecyclev1.RehearseResponse, name string) *lifecyclev1.Output {
	for _, o := range r.GetOutputs() {
		if o.GetName() == name {
			return o
		}
	}
	return nil
}

// itemsOf names some of what is missing and of what is too much, where the samples are whole.
func itemsOf(have, would *lifecyclev1.Output) string {
	if uint64(len(have.GetSample())) != have.GetItems() || uint64(len(would.GetSample())) != would.GetItems() {
		return ""
	}
	text := ""
	if missing := without(have.GetSample(), would.GetSample()); len(missing) > 0 {
		text += ": missing " + some(missing)
	}
	if extra := without(would.GetSample(), have.GetSample()); len(extra) > 0 {
		text += ": in addition " + some(extra)
	}
	return text
}

func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

func some(list []string) string {
	if len(list) <= named {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:named], ", ") + fmt.Sprintf(" and %d more", len(list)-named)
}
