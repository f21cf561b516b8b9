// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package probe answers whether the routing table does its work: it knows its configuration and its
// interfaces, the dataplane has what it knew when the session began, and a route sent now is answered.
//
// The route is a canary: one address of the discard-only prefix 100::/64 (RFC 6666), which no packet
// should ever carry, dropped as that prefix is meant to be. Sending it again changes nothing and yet takes
// the whole way to the tables.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/rib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

// Source is the name of the canary's source.
const Source = "canary"

// Canary is the route that is sent.
var Canary = netip.MustParsePrefix("100::7269:62/128")

const (
	// fresh is how long an answer stands for the next ones.
	fresh = time.Second
	// patience is how long an answer may take: less than the manifest gives the probe.
	patience = 1500 * time.Millisecond
)

// Probe is safe for concurrent use.
type Probe struct {
	RIB *rib.RIB
	// Missing says which source has not told all it knows; empty when none.
	Missing func() string

	mu sync.Mutex
	at time.Time
}

// Hatch puts the canary into the table. A route of anyone else for its prefix comes before it.
func Hatch(r *rib.RIB) {
	r.Update(func(t *table.Table) {
		// An own source is never refused.
		_ = t.Set(Canary, t.OwnSource(Source), 0, table.Path{Kind: fib.Drop, Distance: 255})
	})
}

// Check returns nil when the table does its work, else what is missing.
func (p *Probe) Check(ctx context.Context) error {
	if missing := p.Missing(); missing != "" {
		return errors.New(missing)
	}
	switch s := p.RIB.Session(); {
	case !s.Open:
		return errors.New("the dataplane is away")
	case !s.Repeated:
		return errors.New("the dataplane has not acknowledged all routes yet")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < fresh {
		return nil
	}
	if err := p.send(ctx); err != nil {
		return err
	}
	p.at = time.Now()
	return nil
}

// send sends the canary and awaits the answer. That the tables are full is an answer.
func (p *Probe) send(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var before uint32
	p.RIB.Update(func(t *table.Table) {
		before = t.Decisions(Canary)
		t.Touch(Canary)
	})
	var refusal fib.Refusal
	err := p.RIB.Await(ctx, func(t *table.Table, _ rib.Session) bool {
		refusal, _ = t.Undone(Canary)
		return t.Decisions(Canary) != before
	})
	switch {
	case err != nil:
		return fmt.Errorf("the dataplane does not answer: %w", err)
	case refusal.Reason != "" && refusal.Code != int32(codes.ResourceExhausted):
		return fmt.Errorf("the dataplane refuses a route: %s", refusal.Reason)
	}
	return nil
}
