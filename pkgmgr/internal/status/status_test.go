// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"context"
	"testing"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
)

func names(list []status.Component) string {
	out := ""
	for _, c := range list {
		out += c.Name + " "
	}
	return out
}

func TestSlowWatcherSeesTheNewestStateOnce(t *testing.T) {
	table := status.New([]status.Component{{Name: "b"}, {Name: "a"}})
	w, snapshot := table.Watch()
	defer w.Close()
	if names(snapshot) != "b a " {
		t.Errorf("snapshot %q is not in start order", names(snapshot))
	}
	for i := range 1000 {
		table.Update("a", func(c *status.Component) { c.PID = i + 1 })
	}
	table.Update("b", func(c *status.Component) { c.Phase = status.Ready })
	table.Update("nobody", func(c *status.Component) { c.PID = 1 })
	got, err := w.Next(context.Background())
	if err != nil || names(got) != "a b " || got[0].PID != 1000 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestNoChangeIsNoNews(t *testing.T) {
	table := status.New([]status.Component{{Name: "a"}})
	w, _ := table.Watch()
	defer w.Close()
	table.Update("a", func(c *status.Component) { c.PID = 0 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got, err := w.Next(ctx); err == nil {
		t.Errorf("news %+v of nothing", got)
	}
}
