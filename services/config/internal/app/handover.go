// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit"
)

// hearing is how long a process that is new waits to hear of every component's state before it says that it knows
// what there is to know: a component that is down says nothing, to nobody.
const hearing = 2 * time.Second

// Freeze implements kit.Freezer: no Set is under way, no mark is pending, the owners have left for the successor.
// Subscribers stay, and hear of what the successor decides.
func (s *service) Freeze(ctx context.Context) error { return s.engine.Freeze(ctx) }

// Unfreeze implements kit.Freezer.
func (s *service) Unfreeze() { s.engine.Unfreeze() }

// Rehearse implements kit.Rehearser: the configuration, leaf by leaf. It reads the store and writes nothing.
func (s *service) Rehearse(ctx context.Context) (kit.Rehearsal, error) {
	if missing := s.aggregator.Missing(); len(missing) > 0 && time.Since(s.started) < hearing {
		return kit.Rehearsal{Missing: "the state of " + strings.Join(missing, ", ")}, nil
	}
	now, err := s.engine.Rehearse(ctx)
	if err != nil {
		return kit.Rehearsal{Missing: fmt.Sprintf("the configuration in the store: %v", err)}, nil
	}
	return kit.Rehearsal{Synced: true, Outputs: []*kit.Output{leaves(now)}}, nil
}

// leaves are what is configured, as the model writes it. Defaults are the model's, not the configuration's.
func leaves(config *tree.Tree) *kit.Output {
	out := kit.NewOutput("configuration")
	tree.View{config}.Walk(nil, tree.OnlyConfig, func(l *tree.Leaf) bool {
		if !l.Default {
			out.Add(fmt.Sprintf("%s=%s", l.Path(), l.Value.AppendJSON(nil, schema.JSONIETF)))
		}
		return true
	})
	return out
}

var (
	_ kit.Freezer   = (*service)(nil)
	_ kit.Rehearser = (*service)(nil)
)
