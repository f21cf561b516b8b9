// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"context"

	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
)

// Rehearse returns the configuration as decided by the newest revision. An engine that does not lead, because it was never
// run or is frozen, reads it from the store and needs no token for that.
func (e *Engine) Rehearse(ctx context.Context) (*tree.Tree, error) {
	if d := e.decided.Load(); d != nil && !e.Frozen() {
		return d.tree, nil
	}
	contents, err := e.Store.Peek(ctx)
	if err != nil {
		return nil, err
	}
	return build(e.Model, contents.Objects)
}
