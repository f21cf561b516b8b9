// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// Step replaces, adds or removes one component.
type Step struct {
	Component string
	// From is nil when it is added, To when it is removed.
	From, To *store.Package
}

func (s Step) String() string {
	switch {
	case s.From == nil:
		return fmt.Sprintf("while %s %s is added", s.Component, s.To.Version)
	case s.To == nil:
		return fmt.Sprintf("without %s", s.Component)
	}
	return fmt.Sprintf("while %s goes from %s to %s", s.Component, s.From.Version, s.To.Version)
}

// Plan is steps in an order, and what the judge says of all sets that occur.
type Plan struct {
	Steps   []Step
	Verdict Verdict
	Sets    int
}

// maxTries bounds how many steps are judged in search of an order.
const maxTries = 2000

// Make orders the steps to a target so that every set on the way is allowed. The package manager goes first, since what
// follows is done by the new one; the supervisor last; in between providers go before their consumers, or whatever
// order is allowed. When none is, the plan has the reasons against the first.
func Make(running map[string]*store.Package, target Target, judge Judge) Plan {
	steps := firstOrder(running, target)
	plan := judged(running, steps, judge)
	if plan.Verdict.Allowed() || len(steps) < 2 {
		return plan
	}
	s := search{judge: judge, steps: steps, dead: map[string]bool{}}
	if order, ok := s.from(running, make([]bool, len(steps))); ok {
		if other := judged(running, order, judge); other.Verdict.Allowed() {
			return other
		}
	}
	return plan
}

// firstOrder is the manager, then providers before consumers, then the supervisor. What is removed goes last but
// for the supervisor, and in the opposite order.
func firstOrder(running map[string]*store.Package, target Target) []Step {
	var steps []Step
	for _, name := range slices.Sorted(maps.Keys(target)) {
		s := Step{Component: name, From: running[name], To: target[name]}
		if s.From != nil && s.To != nil && s.From.Digest == s.To.Digest || s.From == s.To {
			continue
		}
		steps = append(steps, s)
	}
	depth := depths(steps)
	slices.SortStableFunc(steps, func(a, b Step) int { return rank(a, depth) - rank(b, depth) })
	return steps
}

func rank(s Step, depth map[string]int) int {
	const beyond = 1 << 16
	switch {
	case s.Component == Manager:
		return -1
	case s.Component == Supervisor:
		return 3 * beyond
	case s.To == nil:
		return 2*beyond - depth[s.Component]
	}
	return depth[s.Component]
}

// depths is how many changed components stand below each by what it requires.
func depths(steps []Step) map[string]int {
	providers := map[string]string{}
	for _, s := range steps {
		for _, p := range either(s).Manifest.Provides {
			providers[p.Contract] = s.Component
		}
	}
	depth := map[string]int{}
	for range steps { // as many rounds as the longest chain can have links
		for _, s := range steps {
			for _, r := range either(s).Manifest.Requires {
				if below, ok := providers[r.Contract]; ok && below != s.Component && !r.Optional && !common[r.Contract] {
					depth[s.Component] = min(max(depth[s.Component], depth[below]+1), len(steps))
				}
			}
		}
	}
	return depth
}

// common are the contracts that every component serves.
var common = map[string]bool{"ashlar.lifecycle.v1": true, "ashlar.telemetry.v1": true}

func either(s Step) *store.Package {
	if s.To != nil {
		return s.To
	}
	return s.From
}

// judged holds every set that occurs in an order of steps against the evidence.
func judged(running map[string]*store.Package, steps []Step, judge Judge) Plan {
	now := maps.Clone(running)
	sets := []Set{{Name: "what runs now", Packages: packages(now)}}
	for _, s := range steps {
		sets = append(sets, advance(now, s)...)
	}
	return Plan{Steps: steps, Verdict: judge.Judge(sets), Sets: len(sets)}
}

// advance returns the sets that a step brings, and changes now to the one after it.
func advance(now map[string]*store.Package, s Step) []Set {
	var sets []Set
	if s.To == nil {
		delete(now, s.Component)
	} else {
		both := append(packages(now), s.To)
		sets = append(sets, Set{Name: s.String(), Packages: both})
		now[s.Component] = s.To
	}
	name := "without " + s.Component
	if s.To != nil {
		name = "with " + s.To.String()
	}
	return append(sets, Set{Name: name, Packages: packages(now)})
}

func packages(of map[string]*store.Package) []*store.Package {
	out := make([]*store.Package, 0, len(of))
	for _, name := range slices.Sorted(maps.Keys(of)) {
		out = append(out, of[name])
	}
	return out
}

// search looks for an allowed order step by step; what was done already decides what can follow, so that no set of
// done steps is looked at twice.
type search struct {
	judge Judge
	steps []Step
	dead  map[string]bool
	tries int
}

func (s *search) from(now map[string]*store.Package, done []bool) ([]Step, bool) {
	if !slices.Contains(done, false) {
		return nil, true
	}
	if key := fmt.Sprint(done); s.dead[key] {
		return nil, false
	}
	for i, step := range s.steps {
		if done[i] || !s.inPlace(step, done) || s.tries == maxTries {
			continue
		}
		s.tries++
		next := maps.Clone(now)
		if !s.judge.Judge(advance(next, step)).Allowed() {
			continue
		}
		done[i] = true
		rest, ok := s.from(next, done)
		done[i] = false
		if ok {
			return append([]Step{step}, rest...), true
		}
	}
	s.dead[fmt.Sprint(done)] = true
	return nil, false
}

// inPlace keeps the manager first and the supervisor last.
func (s *search) inPlace(step Step, done []bool) bool {
	for i, other := range s.steps {
		if done[i] || other.Component == step.Component {
			continue
		}
		if other.Component == Manager || step.Component == Supervisor {
			return false
		}
	}
	return true
}
