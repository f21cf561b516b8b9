// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package gates watches what an upgrade must not harm: it compares counters of all components with what they were when
// a step began.
//
// The counters are those that manifests declare as gates, the calls between components that failed, and the
// supervisor's count of crashes. What cannot be read is a failure, and says why. Nothing is kept between two steps and
// nothing runs in the background: a watch reads when it is asked, all components at once, each by one request for the
// few families that the gates need.
package gates

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/engine"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// readLimit bounds one reading of everything.
const readLimit = 500 * time.Millisecond

// Supervisor is what the gates ask of the supervisor.
type Supervisor interface {
	List(context.Context, *supervisorv1.ListRequest, ...grpc.CallOption) (*supervisorv1.ListResponse, error)
}

// Gates implements engine.Gates. It is safe for concurrent use.
type Gates struct {
	layout     layout.Layout
	supervisor Supervisor
}

// New returns the gates of a device.
func New(l layout.Layout, supervisor Supervisor) *Gates {
	return &Gates{layout: l, supervisor: supervisor}
}

// Begin implements engine.Gates. It fails when a component that runs cannot be read: nothing could be said of it later.
func (g *Gates) Begin(ctx context.Context, members []*store.Package, successor *store.Package) (engine.Watch, error) {
	w := &Watch{supervisor: g.supervisor, rules: rulesOf(members, successor), targets: map[string]*target{}, removed: map[string]bool{}}
	running := map[string]bool{}
	for _, p := range members {
		running[p.Component] = true
	}
	if successor != nil {
		members = append(slices.Clone(members), successor)
	}
	for _, p := range members {
		if socket, ok := p.Manifest.Socket(metricsSocket); ok && socket.Unix != "" {
			w.targets[p.Component] = &target{component: p.Component, socket: g.layout.Socket(socket.Unix)}
		}
	}
	w.aim()
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	list, err := g.supervisor.List(ctx, &supervisorv1.ListRequest{})
	if err != nil {
		return nil, fmt.Errorf("gates: the supervisor does not say how often components crashed: %w", err)
	}
	w.crashes = crashesOf(list)
	w.scrape(ctx, func(t *target) bool { return running[t.component] })
	for _, name := range slices.Sorted(maps.Keys(running)) {
		if t := w.targets[name]; t != nil && t.err != nil {
			return nil, fmt.Errorf("gates: there is no first reading of %s, so that nothing could be said of it later: %w", name, t.err)
		}
	}
	w.begin(running)
	return w, nil
}

// crashesOf are the crashes of each component so far.
func crashesOf(list *supervisorv1.ListResponse) map[string]uint64 {
	out := map[string]uint64{}
	for _, c := range list.GetComponents() {
		out[c.GetName()] = c.GetCrashes()
	}
	return out
}
