// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
)

// Confirm ends a component's trial.
func (t *Tree) Confirm(ctx context.Context, name string) error {
	n, err := t.known(name)
	if err != nil {
		return err
	}
	return n.do(ctx, func(_ context.Context, done chan<- error) verdict {
		_, err := t.cfg.Book.Change(name, func(c *children.Child) { c.Trial = nil })
		n.update(func(c *status.Component) { c.Trial = nil })
		n.log.Info("confirmed", "child_version", n.c.Manifest.Version)
		done <- err
		return stay
	})
}

// reverse goes back to the version before, when the one that ended is on trial. It reports whether it did.
func (n *node) reverse(reason string) bool {
	was := n.tree.cfg.Book.Get(n.name)
	if was.Trial == nil || was.Trial.Tree == "" {
		return false
	}
	previous, err := n.tree.load(was.Trial.Tree, n.name)
	if err != nil {
		n.log.Error("the version before cannot be started, this one is again", "error", err)
		return false
	}
	from := n.c
	r := n.record(func(c *children.Child) {
		c.Choice, c.Trial = n.choice(previous.Tree), nil
		c.Reversal = &children.Reversal{
			FromTree: from.Tree, FromVersion: from.Manifest.Version, ToVersion: previous.Manifest.Version,
			Reason: reason, At: time.Now(),
		}
	})
	n.install(previous)
	n.update(func(c *status.Component) { c.Trial, c.Reversal = nil, reversalStatus(r.Reversal) })
	n.show()
	n.log.Warn("the version on trial failed, going back", "from", from.Manifest.Version, "to", previous.Manifest.Version, "reason", reason)
	return true
}

// choice is what the record says of a tree that stands in the place of the generation's.
func (n *node) choice(tree string) *children.Choice {
	return &children.Choice{Tree: tree, Instead: generation.TreeOf(n.tree.cfg.Directory, n.name)}
}

func trialStatus(t *children.Trial) *status.Trial {
	if t == nil {
		return nil
	}
	return &status.Trial{PreviousVersion: t.Version, PreviousDigest: generation.Digest(t.Tree), Since: t.Since}
}

func reversalStatus(r *children.Reversal) *status.Reversal {
	if r == nil {
		return nil
	}
	return &status.Reversal{
		FromVersion: r.FromVersion, FromDigest: generation.Digest(r.FromTree), ToVersion: r.ToVersion,
		Reason: r.Reason, At: r.At,
	}
}
