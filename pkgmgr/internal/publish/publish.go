// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package publish turns what the package manager shows into telemetry: the model ashlar-install. Only what changed is
// published. It keeps the newest state and nothing else; Observe is called by one goroutine at a time and does not block.
package publish

import (
	"cmp"
	"slices"
	"strings"
	"time"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// keptOperations is how many operations are shown.
const keptOperations = 20

// top is the root of the model.
const top = "/install"

// Publisher takes leaves by absolute path; the kit's telemetry publisher is one.
type Publisher interface {
	Publish(at time.Time, updates map[string]any, deletes ...string)
}

// Installs publishes the state of installs. The zero value is not usable; see New.
type Installs struct {
	publisher Publisher
	published map[string]any
	// steps are the newest steps of the operations that are shown, by operation.
	steps map[uint64]*step
}

// New returns a publication that has said nothing yet.
func New(p Publisher) *Installs {
	return &Installs{publisher: p, published: map[string]any{}, steps: map[uint64]*step{}}
}

// Observe publishes what differs from the state before. It is an engine.Observer.
func (i *Installs) Observe(shown *pkgv1.ShowResponse) {
	leaves := map[string]any{}
	device(leaves, shown)
	steps := map[uint64]*step{}
	for _, op := range recent(shown) {
		steps[op.GetId()] = i.steps[op.GetId()].after(op)
		operation(leaves, op, steps[op.GetId()])
	}
	i.steps = steps
	for _, p := range packages(shown) {
		pack(leaves, p)
	}
	changed := map[string]any{}
	for path, value := range leaves {
		if i.published[path] != value {
			changed[path] = value
		}
	}
	for path := range i.published {
		if _, kept := leaves[path]; !kept {
			changed[path] = nil
		}
	}
	i.published = leaves
	if len(changed) > 0 {
		i.publisher.Publish(time.Now(), changed)
	}
}

// device are the leaves of the device as a whole.
func device(leaves map[string]any, shown *pkgv1.ShowResponse) {
	at := top + "/state/"
	leaves[at+"committed-generation"] = shown.GetCommittedGeneration()
	leaves[at+"committed"] = committed(shown)
	leaves[at+"pending-steps"] = uint32(len(shown.GetPending().GetSteps()))
	if t := shown.GetRevertsAt(); t != nil {
		leaves[at+"reverts-at"] = nanoseconds(t)
	}
	if op := shown.GetCurrent(); op.GetOutcome() == pkgv1.Outcome_OUTCOME_RUNNING {
		leaves[at+"current-operation"] = op.GetId()
	}
}

// committed reports whether the running set is the committed one.
func committed(shown *pkgv1.ShowResponse) bool {
	digests := func(members []*pkgv1.Member) []string {
		var out []string
		for _, m := range members {
			out = append(out, m.GetComponent()+"="+m.GetDigest())
		}
		slices.Sort(out)
		return out
	}
	for _, g := range shown.GetGenerations() {
		if g.GetId() == shown.GetCommittedGeneration() {
			return slices.Equal(digests(g.GetMembers()), digests(shown.GetRunning()))
		}
	}
	return false
}

// recent are the newest operations, each once.
func recent(shown *pkgv1.ShowResponse) []*pkgv1.Operation {
	all := append([]*pkgv1.Operation{shown.GetCurrent()}, shown.GetHistory()...)
	all = slices.DeleteFunc(all, func(op *pkgv1.Operation) bool { return op.GetId() == 0 })
	// The current one is first, so that of two of one id it is the one that stays.
	slices.SortStableFunc(all, func(a, b *pkgv1.Operation) int { return cmp.Compare(b.GetId(), a.GetId()) })
	all = slices.CompactFunc(all, func(a, b *pkgv1.Operation) bool { return a.GetId() == b.GetId() })
	return all[:min(len(all), keptOperations)]
}

// packages are those of the store, one for each version: the one that runs, else the one that was added last.
func packages(shown *pkgv1.ShowResponse) []*pkgv1.Package {
	key := func(p *pkgv1.Package) string { return p.GetComponent() + "=" + p.GetVersion() }
	all := slices.Clone(shown.GetPackages())
	slices.SortStableFunc(all, func(a, b *pkgv1.Package) int {
		return cmp.Or(strings.Compare(key(a), key(b)), active(a, b), b.GetAdded().AsTime().Compare(a.GetAdded().AsTime()))
	})
	return slices.CompactFunc(all, func(a, b *pkgv1.Package) bool { return key(a) == key(b) })
}

// active orders what runs before what does not.
func active(a, b *pkgv1.Package) int {
	switch {
	case a.GetActive() == b.GetActive():
		return 0
	case a.GetActive():
		return -1
	}
	return 1
}
