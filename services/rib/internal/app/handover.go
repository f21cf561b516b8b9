// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"slices"

	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/rib/internal/links"
	"github.com/ashlar-nos/ashlar/services/rib/internal/probe"
	"github.com/ashlar-nos/ashlar/services/rib/internal/static"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

// rehearsed is the number of prefixes that are looked at under one lock.
const rehearsed = 1024

// ownSources are known to every version from the configuration and the interfaces. Producers speak to one process
// at a time: their routes cannot be compared, and the dataplane keeps them until they have been repeated.
var ownSources = []string{links.Connected, links.Local, static.Protocol, probe.Source}

// Rehearse implements kit.Rehearser: the routes that the dataplane was told, or would be, by this device's own
// sources.
func (a *App) Rehearse(ctx context.Context) (kit.Rehearsal, error) {
	if missing := a.unheard(); missing != "" {
		return kit.Rehearsal{Missing: missing}, nil
	}
	routes := kit.NewOutput("routes")
	var refs []table.Ref
	a.rib.View(func(t *table.Table) { refs = t.All(0) })
	for part := range slices.Chunk(refs, rehearsed) {
		if ctx.Err() != nil {
			return kit.Rehearsal{}, ctx.Err()
		}
		a.rib.View(func(t *table.Table) {
			for _, ref := range part {
				if c, prefix, ok := t.BestOf(ref, own); ok {
					routes.Add(prefix.String() + " " + c.String())
				}
			}
		})
	}
	return kit.Rehearsal{Synced: true, Outputs: []*kit.Output{routes}}, nil
}

func own(source string) bool { return slices.Contains(ownSources, source) }

// unheard says what is awaited before the table can be compared. Whoever programs speaks of what the dataplane has
// acknowledged.
func (a *App) unheard() string {
	switch {
	case closed(a.active) && !a.rib.Session().Repeated:
		return "waiting for the dataplane to acknowledge the routes"
	case !closed(a.routes.Observed()):
		return "waiting for the configuration"
	case !closed(a.links.Synced()):
		return "waiting for the interfaces"
	}
	return ""
}

// Freeze implements kit.Freezer: a commit that is under way reaches the dataplane, later ones wait for the successor,
// and producers leave. The stream to the dataplane stays; a successor's ends it.
func (a *App) Freeze(ctx context.Context) error {
	if err := a.owner.Freeze(ctx); err != nil {
		return err
	}
	if err := a.api.Freeze(ctx); err != nil {
		a.owner.Unfreeze()
		return err
	}
	return nil
}

// Unfreeze implements kit.Freezer.
func (a *App) Unfreeze() {
	a.api.Unfreeze()
	a.owner.Unfreeze()
}
