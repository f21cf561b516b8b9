// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package explain asks the routing table why nobody answers. It is an aid: when the table is not there, or of a version
// that cannot explain, there is nothing to say, and that is no error.
package explain

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/grpc"

	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

const (
	// contract and level that can explain.
	contract = "ashlar.rib.v1"
	level    = 2
	// patience with the routing table: an operator waits for the answer.
	patience = time.Second
	// recent is how old a change may be to be worth telling.
	recent = 15 * time.Minute
)

// Explainer asks. Safe for concurrent use.
type Explainer struct {
	// Roster tells who is on the device, Dial connects to the provider of a contract.
	Roster func() (roster.Roster, error)
	Dial   func(contract string) (*grpc.ClientConn, error)
}

// Why says in a sentence what the routing table knows of an address; empty when it has nothing to say.
func (e Explainer) Why(ctx context.Context, a netip.Addr) string {
	if e.Roster == nil || !e.able() {
		return ""
	}
	conn, err := e.Dial(contract)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := ribv1.NewRibClient(conn).Explain(ctx, &ribv1.ExplainRequest{Address: a.WithZone("").AsSlice(), Changes: 1})
	if err != nil {
		return ""
	}
	return sentence(answer, time.Now())
}

// able reports whether the device's routing table can explain.
func (e Explainer) able() bool {
	r, err := e.Roster()
	if err != nil {
		return false
	}
	provider, ok := r.Provider(contract)
	if !ok {
		return false
	}
	for _, p := range provider.Provides {
		if p.Contract == contract {
			return p.Level >= level
		}
	}
	return false
}

func sentence(answer *ribv1.ExplainResponse, now time.Time) string {
	text := "there is no route"
	if path := answer.GetPath(); path != nil {
		text = fmt.Sprintf("the route is %s (%s)", prefix(path.GetRoute().GetPrefix()), path.GetProtocol())
		if path.GetReason() != "" {
			text += ": " + path.GetReason()
		}
	}
	for _, c := range answer.GetChanges() {
		if age := now.Sub(c.GetTime().AsTime()); age < recent {
			text += fmt.Sprintf("; %v ago, for %s: %s", age.Round(time.Second), prefix(c.GetPrefix()), c.GetReason())
		}
	}
	return text
}

func prefix(p *ribv1.Prefix) string {
	a, ok := netip.AddrFromSlice(p.GetAddress())
	if !ok {
		return "?"
	}
	return netip.PrefixFrom(a, int(p.GetLength())).String()
}
