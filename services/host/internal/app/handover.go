// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"io"

	"github.com/ashlar-nos/ashlar/services/kit"
)

// sectionHostname is the part of an export with the name that was found, as package hostname writes it.
const sectionHostname = "hostname"

// Rehearse implements kit.Rehearser: what the system is made to be.
func (a *app) Rehearse(context.Context) (kit.Rehearsal, error) {
	name, known := a.handler.Observed()
	if a.owner.Restored() {
		name, known = a.keeper.Wanted(), true
	}
	if !known {
		return kit.Rehearsal{Missing: "waiting for the configuration"}, nil
	}
	if name == "" {
		name = "as found"
	}
	system := kit.NewOutput("system")
	system.Add("hostname " + name)
	return kit.Rehearsal{Synced: true, Outputs: []*kit.Output{system}}, nil
}

// Freeze implements kit.Freezer: a commit that is under way ends, later ones wait for the successor.
func (a *app) Freeze(ctx context.Context) error { return a.owner.Freeze(ctx) }

// Unfreeze implements kit.Freezer.
func (a *app) Unfreeze() { a.owner.Unfreeze() }

// Export implements kit.Transferrer.
func (a *app) Export(_ context.Context, send func(section string, data []byte) error) error {
	b, err := a.keeper.Export()
	if err != nil || b == nil {
		return err
	}
	return send(sectionHostname, b)
}

// Import implements kit.Transferrer. Sections of a newer version are left alone.
func (a *app) Import(_ context.Context, recv func() (section string, data []byte, err error)) error {
	for {
		section, data, err := recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case section != sectionHostname:
			a.rt.Log.Warn("the predecessor hands over what this version does not know", "section", section)
		default:
			if err := a.keeper.Import(data); err != nil {
				return err
			}
		}
	}
}
