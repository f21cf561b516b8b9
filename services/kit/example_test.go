// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
)

// The manifest stands beside main.go as component.yaml and is embedded from there.
var manifestYAML = []byte(`
name: banner
daemon: bannerd
version: 1.0.0
summary: Shows what a whole service looks like
provides:
  - {contract: ashlar.lifecycle.v1, level: 2}
  - {contract: ashlar.telemetry.v1, level: 1}
requires:
  - {contract: ashlar.config.v1, levels: {min: 1}}
run: {command: [bin/bannerd]}
sockets:
  - {name: api, unix: banner.sock, mode: "0666"}
  - {name: metrics, unix: banner.metrics.sock, mode: "0666"}
`)

// banner owns one leaf of the configuration and publishes it as state.
type banner struct {
	rt    *kit.Runtime
	owner *owner.Owner
}

func newBanner(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
	b := &banner{rt: rt}
	b.owner = owner.New([]string{"/system/config/login-banner"}, b)
	return b, nil
}

// Run implements kit.Service: attach to the configuration until the context ends.
func (b *banner) Run(ctx context.Context) error { return b.rt.Own(ctx, b.owner) }

// Probe implements kit.Service: ready once the first configuration is in effect.
func (b *banner) Probe(context.Context) error {
	if !b.owner.Restored() {
		return errors.New("waiting for the configuration")
	}
	return nil
}

// Prepare implements owner.Handler: look, refuse with path and reason, change nothing.
func (b *banner) Prepare(_ context.Context, c owner.Change) error {
	for _, o := range c.Objects {
		if len(o.New) > 100 {
			return owner.Refuse(o.Path, codes.InvalidArgument, "a banner has at most 98 characters")
		}
	}
	return nil
}

// Commit implements owner.Handler: make it so, return when it is.
func (b *banner) Commit(_ context.Context, c owner.Change) error { return b.show(c.Desired) }

// Restore implements owner.Handler: make the whole desired state so.
func (b *banner) Restore(_ context.Context, s owner.Snapshot) []error {
	if err := b.show(s.Objects); err != nil {
		return []error{err}
	}
	return nil
}

func (b *banner) show(desired map[string]owner.Object) error {
	state := map[string]any{}
	for _, o := range desired {
		var text string
		if err := json.Unmarshal(o.New, &text); err != nil {
			return fmt.Errorf("banner: %w", err)
		}
		state["/system/state/login-banner"] = text
	}
	b.rt.Telemetry.ReplaceSubtree(time.Now(), "/system/state/login-banner", state)
	return nil
}

// A service's main is one line: kit.Main(manifestYAML, newBanner).
func Example() {
	var construct kit.Constructor = newBanner
	fmt.Println(construct != nil)
	// Output: true
}
