// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package matrix_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/matrix"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// pkg makes a package: "rib 1.0.0", provisions "rib=1", requirements "dataplane>=2" or "?dataplane>=2".
func pkg(name, version string, provides []string, requires ...string) *store.Package {
	p := &store.Package{
		Component: name, Version: version, Digest: name + "-" + version,
		Manifest: &manifest.Manifest{Name: name, Version: version}, Contracts: map[string]string{},
	}
	for _, text := range provides {
		contract, level, _ := strings.Cut(text, "=")
		p.Manifest.Provides = append(p.Manifest.Provides, manifest.Provision{Contract: contract, Level: number(level)})
	}
	for _, text := range requires {
		text, optional := strings.CutPrefix(text, "?")
		contract, level, _ := strings.Cut(text, ">=")
		p.Manifest.Requires = append(p.Manifest.Requires, manifest.Requirement{
			Contract: contract, Levels: manifest.Levels{Min: number(level)}, Optional: optional,
		})
		p.Contracts[contract] = "hash of " + name + " " + version + " " + contract
	}
	return p
}

func number(text string) uint32 {
	var n uint32
	fmt.Sscan(text, &n)
	return n
}

func evidence(consumer *store.Package, contract string, provider *store.Package, result string, failures ...string) *store.Evidence {
	return &store.Evidence{
		Consumer: consumer.Component, Contract: contract, ContractHash: consumer.Contracts[contract],
		Provider: provider.Component, ProviderDigest: provider.Digest, Result: result, Failures: failures,
		Time: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC),
	}
}

func judge(evidence []*store.Evidence, packages []*store.Package, sets ...plan.Set) plan.Verdict {
	m := matrix.New(func() []*store.Evidence { return evidence }, func() []*store.Package { return packages })
	return m.Judge(sets)
}

func TestReasons(t *testing.T) {
	dataplane1 := pkg("dataplane", "1.0.0", []string{"dp=1"})
	dataplane2 := pkg("dataplane", "1.1.0", []string{"dp=2"})
	rib := pkg("rib", "1.0.0", []string{"rib=1"}, "dp>=1")
	keen := pkg("rib", "1.2.0", []string{"rib=1"}, "dp>=2")
	greedy := pkg("rib", "1.3.0", []string{"rib=1"}, "dp>=9")
	polite := pkg("rib", "1.4.0", []string{"rib=1"}, "?dp>=9")
	silent := pkg("rib", "1.5.0", []string{"rib=1"}, "dp>=1")
	silent.Contracts = nil
	rival := pkg("rival", "1.0.0", []string{"dp=1"})
	store1 := []*store.Package{dataplane1, dataplane2}
	for _, test := range []struct {
		desc     string
		evidence []*store.Evidence
		set      []*store.Package
		kind     string
		words    []string
	}{
		{"passed", []*store.Evidence{evidence(rib, "dp", dataplane1, store.Passed)}, []*store.Package{rib, dataplane1}, "", nil},
		{"never tested", nil, []*store.Package{rib, dataplane1}, "evidence-missing", []string{"rib 1.0.0 against dataplane 1.0.0", "dp", "ashlar install add"}},
		{"tested against another package", []*store.Evidence{evidence(rib, "dp", dataplane2, store.Passed)}, []*store.Package{rib, dataplane1}, "evidence-missing", nil},
		{"failed", []*store.Evidence{evidence(rib, "dp", dataplane1, store.Failed, `"a route is acknowledged": no answer`)}, []*store.Package{rib, dataplane1},
			"evidence-failed", []string{"rib 1.0.0 does not work with dataplane 1.0.0", "2026-11-20", "a route is acknowledged"}},
		{"failed and passed", []*store.Evidence{evidence(rib, "dp", dataplane1, store.Passed), evidence(rib, "dp", dataplane1, store.Failed), evidence(rib, "dp", dataplane1, store.Passed)},
			[]*store.Package{rib, dataplane1}, "evidence-failed", nil},
		{"level too low, another would do", nil, []*store.Package{keen, dataplane1}, "contract-missing", []string{"rib 1.2.0 requires dp at level ≥ 2", "dataplane 1.0.0 provides level 1", "dataplane 1.1.0 would do"}},
		{"level that nobody has", nil, []*store.Package{greedy, dataplane2}, "contract-missing", []string{"level ≥ 9", "no package in the store does"}},
		{"nobody provides", nil, []*store.Package{rib}, "contract-missing", []string{"rib 1.0.0 requires dp", "nobody provides it"}},
		{"optional, nobody provides", nil, []*store.Package{polite}, "", nil},
		{"optional, of a level that is too low: as if it were not there", nil, []*store.Package{polite, dataplane2}, "", nil},
		{"no contract file", nil, []*store.Package{silent, dataplane1}, "evidence-missing", []string{"ships no contract file", "contracts/dp.yaml"}},
		{"two owners", []*store.Evidence{evidence(rib, "dp", dataplane1, store.Passed), evidence(rib, "dp", rival, store.Passed)},
			[]*store.Package{rib, dataplane1, rival}, "owner-conflict", []string{"dataplane 1.0.0 and rival 1.0.0 both provide dp"}},
		{"both versions of a provider, one of them untested", []*store.Evidence{evidence(rib, "dp", dataplane1, store.Passed)},
			[]*store.Package{rib, dataplane1, dataplane2}, "evidence-missing", []string{"dataplane 1.1.0"}},
	} {
		t.Run(test.desc, func(t *testing.T) {
			v := judge(test.evidence, store1, plan.Set{Name: "the wished set", Packages: test.set})
			if test.kind == "" {
				if !v.Allowed() {
					t.Errorf("refused: %v", v.Reasons)
				}
				return
			}
			if len(v.Reasons) != 1 || v.Reasons[0].GetKind() != test.kind {
				t.Fatalf("reasons %v, want one of kind %s", v.Reasons, test.kind)
			}
			for _, word := range test.words {
				if !strings.Contains(v.Reasons[0].GetText(), word) {
					t.Errorf("%q does not say %q", v.Reasons[0].GetText(), word)
				}
			}
		})
	}
}

// universe draws packages of three components in two versions each, and results for some of their edges.
func universe(t *rapid.T) (packages []*store.Package, all []*store.Evidence) {
	names := []string{"a", "b", "c"}
	for i, name := range names {
		for version := range 2 {
			var requires []string
			for j, other := range names {
				if j < i && rapid.Bool().Draw(t, "requires") {
					requires = append(requires, fmt.Sprintf("%s>=%d", other, rapid.IntRange(1, 2).Draw(t, "level")))
				}
			}
			packages = append(packages, pkg(name, fmt.Sprintf("1.%d.0", version), []string{fmt.Sprintf("%s=%d", name, version+1)}, requires...))
		}
	}
	for _, consumer := range packages {
		for contract := range consumer.Contracts {
			for _, provider := range packages {
				if provider.Component != contract {
					continue
				}
				if result := rapid.SampledFrom([]string{"", store.Passed, store.Passed, store.Failed}).Draw(t, "result"); result != "" {
					all = append(all, evidence(consumer, contract, provider, result))
				}
			}
		}
	}
	return packages, all
}

func TestEvidenceInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		packages, all := universe(t)
		var set []*store.Package
		for i := 0; i < len(packages); i += 2 {
			set = append(set, packages[i+rapid.IntRange(0, 1).Draw(t, "version")])
		}
		s := plan.Set{Name: "a set", Packages: set}
		v := judge(all, packages, s)
		// An independent look: every requirement has its one provider in range, with a pass and no failure.
		allowed := true
		for _, consumer := range set {
			for _, r := range consumer.Manifest.Requires {
				ok := false
				for _, provider := range set {
					level, provides := provider.Manifest.Level(r.Contract)
					is := func(result string) bool {
						return slices.ContainsFunc(all, func(e *store.Evidence) bool {
							return e.ContractHash == consumer.Contracts[r.Contract] && e.ProviderDigest == provider.Digest && e.Result == result
						})
					}
					ok = ok || provides && r.Levels.Contains(level) && is(store.Passed) && !is(store.Failed)
				}
				allowed = allowed && ok
			}
		}
		if v.Allowed() != allowed {
			t.Fatalf("allowed %v, want %v: %v", v.Allowed(), allowed, v.Reasons)
		}
		if len(all) == 0 {
			return
		}
		fewer := slices.Delete(slices.Clone(all), 0, 1)
		if without := judge(fewer, packages, s); all[0].Result == store.Passed && without.Allowed() && !v.Allowed() {
			t.Fatal("a passed result made a set forbidden")
		} else if all[0].Result == store.Failed && v.Allowed() && !without.Allowed() {
			t.Fatal("a failure made a set allowed")
		}
	})
}

// A repository of 200 packages with 20 versions each is judged quickly, whatever is in the store.
func BenchmarkJudge(b *testing.B) {
	var packages []*store.Package
	var all []*store.Evidence
	for i := range 200 {
		for version := range 20 {
			var requires []string
			for j := max(0, i-3); j < i; j++ {
				requires = append(requires, fmt.Sprintf("c%d>=1", j))
			}
			packages = append(packages, pkg(fmt.Sprintf("c%d", i), fmt.Sprintf("1.%d.0", version), []string{fmt.Sprintf("c%d=%d", i, version+1)}, requires...))
		}
	}
	var set []*store.Package
	for i := range 200 {
		set = append(set, packages[20*i+19])
	}
	for _, consumer := range packages {
		for contract := range consumer.Contracts {
			for _, provider := range set {
				if provider.Component == contract {
					all = append(all, evidence(consumer, contract, provider, store.Passed))
				}
			}
		}
	}
	for b.Loop() {
		if v := judge(all, packages, plan.Set{Packages: set}); !v.Allowed() {
			b.Fatal(v.Reasons[0])
		}
	}
}
