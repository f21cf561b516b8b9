// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"fmt"
	"strings"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// Each text is a sentence for the operator that names the edge and says what to do.

func conflictText(a, b *store.Package, contract string) string {
	return fmt.Sprintf("%s and %s both provide %s: a contract has one owner on a device; remove one of them", a, b, contract)
}

// levelText: there is a provider, of another level.
func (m *Matrix) levelText(consumer *store.Package, r manifest.Requirement, provider *store.Package, level uint32) string {
	return fmt.Sprintf("%s requires %s at level %s, and %s provides level %d: %s", consumer, r.Contract, r.Levels, provider, level, m.advice(r))
}

// absenceText: there is no provider in the set.
func (m *Matrix) absenceText(set plan.Set, consumer *store.Package, r manifest.Requirement) string {
	return fmt.Sprintf("%s requires %s at level %s, and nobody provides it (%s): %s", consumer, r.Contract, r.Levels, set.Name, m.advice(r))
}

// advice says which package of the store would do.
func (m *Matrix) advice(r manifest.Requirement) string {
	var would []string
	for _, p := range m.packages() {
		if level, ok := p.Manifest.Level(r.Contract); ok && r.Levels.Contains(level) {
			would = append(would, p.String())
		}
	}
	if len(would) == 0 {
		return "no package in the store does; add one that does with `ashlar install add`, or stay with the version that runs"
	}
	return strings.Join(would, " or ") + " would do: propose it together with this one, or before it"
}

func noFileText(consumer *store.Package, contract string) string {
	return fmt.Sprintf("%s ships no contract file for %s, so nothing can have been tested: ask its vendor for a package with contracts/%s.yaml", consumer, contract, contract)
}

func untestedText(consumer *store.Package, contract string, provider *store.Package) string {
	return fmt.Sprintf("there is no contract-test result of %s against %s (%s): add one with `ashlar install add`, or make one with `ashlar-compat verify`", consumer, provider, contract)
}

// mostFailures bounds how many failures of a result are told.
const mostFailures = 3

func failedText(consumer *store.Package, contract string, provider *store.Package, e *store.Evidence) string {
	failures := e.Failures
	if len(failures) > mostFailures {
		failures = append(failures[:mostFailures:mostFailures], fmt.Sprintf("and %d more", len(e.Failures)-mostFailures))
	}
	return fmt.Sprintf("%s does not work with %s: its contract test of %s failed on %s: %s; wait for a version that passes",
		consumer, provider, contract, e.Time.UTC().Format("2006-01-02"), strings.Join(failures, "; "))
}
