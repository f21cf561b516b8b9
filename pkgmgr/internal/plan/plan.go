// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package plan turns the changes that somebody wants into steps, in an order in which every set of components
// that runs on the way has passed its contract tests together. It reads and changes nothing; its functions may
// be called concurrently.
package plan

import (
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// Set is packages that run at one time. A component occurs twice in it while one of its versions hands over to
// the other: then either of them may call, and either may be called.
type Set struct {
	// Name says in words which set it is, for example "while rib goes from 1.0.0 to 1.1.0".
	Name     string
	Packages []*store.Package
}

// Verdict is what is known of a sequence of sets.
type Verdict struct {
	// Reasons are all that stands against it, each once; none means that it is allowed.
	Reasons []*pkgv1.Reason
	// Edges are the pairs of consumer and provider of the last set, with what is known of each.
	Edges []*pkgv1.Edge
	// Judged is how many different edges occur in all sets.
	Judged int
}

// Allowed reports whether nothing stands against it.
func (v Verdict) Allowed() bool { return len(v.Reasons) == 0 }

// Judge holds sets against the contract tests' results. It is safe for concurrent use and answers within
// milliseconds: it is asked for every order of steps that is tried.
type Judge interface {
	Judge(sets []Set) Verdict
}
