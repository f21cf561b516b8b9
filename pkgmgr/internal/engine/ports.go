// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// Judge holds sequences of sets against the evidence of the store: matrix.New(st.Evidence), where st.Evidence is
// func() []*store.Evidence with all that is kept at the time of the call, each by a trusted signer.
type Judge = plan.Judge

// Gates watch what an upgrade must not harm: gates.New(layout, supervisor client).
type Gates interface {
	// Begin takes the first reading of every gate, before a step's cutover. Members are the packages that run,
	// the supervisor's among them; successor is the version that will take over from the one in members of
	// the same component, nil when one is removed. Both versions' manifests may declare gates. A
	// component that does not run yet has no first reading: its counters count from 0.
	Begin(ctx context.Context, members []*store.Package, successor *store.Package) (Watch, error)
}

// Watch is the gates of one step. It is used by one goroutine, about every 100 ms, and bounds its own reads.
type Watch interface {
	// Read returns what every gate has seen since Begin. A counter whose process was replaced counts from 0. While the
	// successor's process takes over its socket may not answer for a moment: Read waits for it no longer than
	// 500 ms, then says in Missing why there is no reading.
	Read(ctx context.Context) []Reading
	// Close lets go of connections.
	Close()
}

// Reading is one gate's.
type Reading struct {
	// Name is for the operator, for example "packets lost", "calls failed", "crashes".
	Name  string `json:"name"`
	Value uint64 `json:"value"`
	Most  uint64 `json:"most,omitempty"`
	// Missing says why there is no reading; that counts as a failure.
	Missing string `json:"missing,omitempty"`
}

// Failed reports whether the reading speaks against the step.
func (r Reading) Failed() bool { return r.Missing != "" || r.Value > r.Most }

// Observer is told the whole state of installs after each change of it, one call at a time, in order. It must not
// change the message and must not block: publish turns it into telemetry.
type Observer func(*pkgv1.ShowResponse)
