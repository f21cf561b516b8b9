// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
)

// observing is a recorder that follows before it has the token.
type observing struct{ recorder }

func (o *observing) Observe(_ context.Context, s owner.Snapshot) {
	o.note("observe %d objects at %d", len(s.Objects), s.Revision)
}

// service owns with a handler.
type service struct {
	rt    *kit.Runtime
	owner *owner.Owner
}

func (s *service) Run(ctx context.Context) error { return s.rt.Own(ctx, s.owner) }

func (s *service) Probe(context.Context) error { return nil }

const manifest = `
name: banner
daemon: bannerd
version: 1.0.0
summary: Owns a leaf
provides: [{contract: ashlar.lifecycle.v1, level: 2}, {contract: ashlar.telemetry.v1, level: 1}]
requires: [{contract: ashlar.config.v1, levels: {min: 1}}]
run: {command: [bin/bannerd]}
sockets: [{name: api, unix: banner.sock, mode: "0666"}]
`

// TestObserverBecomesOwner has a process without a token beside an owner: it sees what is decided, and takes
// part in none of it.
func TestObserverBecomesOwner(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	const leaf = "/system/config/login-banner"
	first, second := &recorder{}, &observing{}
	start := func(h owner.Handler) kit.Constructor {
		return func(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
			return &service{rt, owner.New([]string{leaf}, h)}, nil
		}
	}
	d := kittest.Start(t, []byte(manifest), start(first))
	set := func(value string) {
		t.Helper()
		if err := d.Config.Set(ctx, map[string]string{leaf: value}); err != nil {
			t.Fatal(err)
		}
	}
	sees := func(want ...string) {
		t.Helper()
		kittest.Eventually(t, func() error {
			if got := second.seen(); !slices.Equal(got, want) {
				return fmt.Errorf("saw %q, want %q", got, want)
			}
			return nil
		})
	}
	set(`"one"`)
	next := d.Stage(start(second))
	sees("observe 1 objects at 1")
	set(`"two"`)
	set("")
	sees("observe 1 objects at 1", "observe 1 objects at 2", "observe 0 objects at 3")
	d.TakeOver(next)
	set(`"three"`)
	sees("observe 1 objects at 1", "observe 1 objects at 2", "observe 0 objects at 3", "restore 0 objects at 3", leaf+` →"three" at 4 of 1`)
	kittest.Eventually(t, func() error {
		if n := d.Config.Observers(); n != 0 {
			return errors.New("an observer is left")
		}
		return nil
	})
	if got := first.seen(); slices.Contains(got, leaf+` →"three" at 4 of 1`) {
		t.Errorf("the old owner was asked too: %q", got)
	}
}
