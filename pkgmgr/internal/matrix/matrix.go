// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package matrix says which packages may run together. It goes by manifests and by the results of contract tests that
// trusted keys have signed, and by nothing else: no result is a refusal, a recorded failure sticks, and there is no way
// around either.
//
// A Matrix does no I/O, holds no state and is safe for concurrent use.
package matrix

import (
	"cmp"
	"slices"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

// Matrix is a judge. It implements plan.Judge.
type Matrix struct {
	// evidence and packages are what the store has at the time of a call. Packages are only spoken of, in advice.
	evidence func() []*store.Evidence
	packages func() []*store.Package
}

// New returns the matrix of a store.
func New(evidence func() []*store.Evidence, packages func() []*store.Package) *Matrix {
	return &Matrix{evidence: evidence, packages: packages}
}

// The results that an edge can have.
const (
	passed  = "passed"
	failed  = "failed"
	missing = "missing"
)

// key is what a result is of: a contract file and a provider's package.
type key struct{ hash, provider string }

// results are the newest result of each key, where a failure is newer than whatever passes.
type results map[key]*store.Evidence

func (m *Matrix) results() results {
	out := results{}
	for _, e := range m.evidence() {
		k := key{e.ContractHash, e.ProviderDigest}
		if have := out[k]; have == nil || have.Result != store.Failed && (e.Result == store.Failed || e.Time.After(have.Time)) {
			out[k] = e
		}
	}
	return out
}

// Judge implements plan.Judge. Every set must have one owner for each required contract, at a level in range, and a
// passed result for each edge; in a set that has two versions of a component, each of them must get on with all others.
func (m *Matrix) Judge(sets []plan.Set) plan.Verdict {
	j := judging{matrix: m, results: m.results(), judged: map[edgeKey]*pkgv1.Edge{}, told: map[string]bool{}}
	for _, set := range sets {
		j.edges = nil
		j.owners(set)
		for _, consumer := range set.Packages {
			for _, r := range consumer.Manifest.Requires {
				j.requirement(set, consumer, r)
			}
		}
	}
	slices.SortFunc(j.edges, func(a, b *pkgv1.Edge) int {
		return cmp.Or(cmp.Compare(a.GetConsumer(), b.GetConsumer()), cmp.Compare(a.GetContract(), b.GetContract()), cmp.Compare(a.GetProvider(), b.GetProvider()))
	})
	return plan.Verdict{Reasons: j.reasons, Edges: j.edges, Judged: len(j.judged)}
}

type edgeKey struct{ consumer, contract, provider string }

// judging is one call of Judge.
type judging struct {
	matrix  *Matrix
	results results
	judged  map[edgeKey]*pkgv1.Edge
	// told are reasons that were given already.
	told    map[string]bool
	reasons []*pkgv1.Reason
	// edges of the set that is being judged.
	edges []*pkgv1.Edge
}

func (j *judging) object(kind, text string, edge *pkgv1.Edge) {
	if j.told[kind+text] {
		return
	}
	j.told[kind+text] = true
	j.reasons = append(j.reasons, &pkgv1.Reason{Kind: kind, Text: text, Edge: edge})
}

// owners finds contracts that two components want to provide.
func (j *judging) owners(set plan.Set) {
	owner := map[string]*store.Package{}
	for _, p := range set.Packages {
		for _, c := range p.Manifest.Provides {
			other := owner[c.Contract]
			if other != nil && other.Component != p.Component && !roster.Shared(c.Contract) {
				j.object("owner-conflict", conflictText(other, p, c.Contract), nil)
			}
			owner[c.Contract] = p
		}
	}
}

// requirement judges one requirement of a consumer in a set.
func (j *judging) requirement(set plan.Set, consumer *store.Package, r manifest.Requirement) {
	providers := providersOf(set, consumer, r.Contract)
	for _, p := range providers {
		level, _ := p.Manifest.Level(r.Contract)
		if !r.Levels.Contains(level) {
			if !r.Optional {
				j.object("contract-missing", j.matrix.levelText(consumer, r, p, level), edgeOf(consumer, r, p, level))
			}
			continue
		}
		j.edge(consumer, r, p, level)
	}
	if len(providers) == 0 && !r.Optional {
		j.object("contract-missing", j.matrix.absenceText(set, consumer, r), nil)
	}
}

// providersOf are the other components' packages that provide a contract.
func providersOf(set plan.Set, consumer *store.Package, contract string) []*store.Package {
	var out []*store.Package
	for _, p := range set.Packages {
		if _, ok := p.Manifest.Level(contract); ok && p.Component != consumer.Component {
			out = append(out, p)
		}
	}
	return out
}

// edge looks the result of an edge up.
func (j *judging) edge(consumer *store.Package, r manifest.Requirement, provider *store.Package, level uint32) {
	k := edgeKey{consumer.Digest, r.Contract, provider.Digest}
	edge := j.judged[k]
	if edge == nil {
		edge = edgeOf(consumer, r, provider, level)
		edge.ContractHash = consumer.Contracts[r.Contract]
		result := j.results[key{edge.GetContractHash(), provider.Digest}]
		switch {
		case edge.GetContractHash() == "":
			edge.Result = missing
			j.object("evidence-missing", noFileText(consumer, r.Contract), edge)
		case result == nil:
			edge.Result = missing
			j.object("evidence-missing", untestedText(consumer, r.Contract, provider), edge)
		case result.Result == store.Passed:
			edge.Result = passed
		default:
			edge.Result = failed
			j.object("evidence-failed", failedText(consumer, r.Contract, provider, result), edge)
		}
		j.judged[k] = edge
	}
	j.edges = append(j.edges, edge)
}

func edgeOf(consumer *store.Package, r manifest.Requirement, provider *store.Package, level uint32) *pkgv1.Edge {
	return &pkgv1.Edge{
		Consumer: consumer.Component, ConsumerVersion: consumer.Version, Contract: r.Contract, Levels: r.Levels.String(),
		Provider: provider.Component, ProviderVersion: provider.Version, ProviderDigest: provider.Digest, Level: level,
		Optional: r.Optional,
	}
}
