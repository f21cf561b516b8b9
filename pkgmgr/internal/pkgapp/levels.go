// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package pkgapp

import (
	"fmt"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// levels judges by contract levels.
type levels struct{}

// Judge implements plan.Judge.
func (levels) Judge(sets []plan.Set) plan.Verdict {
	var v plan.Verdict
	for _, set := range sets {
		for _, p := range set.Packages {
			for _, r := range p.Manifest.Requires {
				v.Judged++
				if !met(set.Packages, r.Contract) && !r.Optional {
					text := fmt.Sprintf("%s: %s requires %s, which nobody provides", set.Name, p, r.Contract)
					v.Reasons = append(v.Reasons, &pkgv1.Reason{Kind: "contract-missing", Text: text})
				}
			}
		}
	}
	return v
}

func met(packages []*store.Package, contract string) bool {
	for _, p := range packages {
		if _, ok := p.Manifest.Level(contract); ok {
			return true
		}
	}
	return false
}
