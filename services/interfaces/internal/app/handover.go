// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/found"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/kit"
)

// The sections of an export.
const (
	// sectionFound is one interface as it was found: {"name": …, "record": …}.
	sectionFound = "found"
	// sectionHistory is when each interface last changed, as package history writes it.
	sectionHistory = "history"
)

// foundInterface is a part of sectionFound.
type foundInterface struct {
	Name   string       `json:"name"`
	Record found.Record `json:"record"`
}

// Rehearse implements kit.Rehearser: addresses, static neighbours and settings of every interface as they are, or
// would be, in the kernel.
func (a *app) Rehearse(context.Context) (kit.Rehearsal, error) {
	wanted, missing := a.wanted()
	if missing != "" {
		return kit.Rehearsal{Missing: missing}, nil
	}
	out := kit.NewOutput("addresses")
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		for _, line := range wanted[name].Lines() {
			out.Add(line)
		}
	}
	return kit.Rehearsal{Synced: true, Outputs: []*kit.Output{out}}, nil
}

// wanted is what is in effect once the right to write is here, and what was observed before.
func (a *app) wanted() (wanted map[string]intent.Interface, missing string) {
	select {
	case <-a.begun:
		if a.owner.Restored() {
			return a.reconciler.Wanted(), ""
		}
	default:
		if wanted, ok := a.handler.Observed(); ok {
			return wanted, ""
		}
	}
	return nil, "waiting for the configuration"
}

// Freeze implements kit.Freezer: a commit that is under way ends, later ones wait for the successor.
func (a *app) Freeze(ctx context.Context) error { return a.owner.Freeze(ctx) }

// Unfreeze implements kit.Freezer.
func (a *app) Unfreeze() { a.owner.Unfreeze() }

// Export implements kit.Transferrer.
func (a *app) Export(_ context.Context, send func(section string, data []byte) error) error {
	err := a.reconciler.Records(func(records *found.Store) error {
		for _, name := range records.Names() {
			record, _ := records.Get(name)
			b, err := json.Marshal(foundInterface{name, record})
			if err == nil {
				err = send(sectionFound, b)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	b, err := a.history.Export()
	if err != nil {
		return err
	}
	return send(sectionHistory, b)
}

// Import implements kit.Transferrer. What is imported takes effect with the token. Sections of a newer version are
// left alone.
func (a *app) Import(_ context.Context, recv func() (section string, data []byte, err error)) error {
	next := imported{found: map[string]found.Record{}}
	for {
		section, data, err := recv()
		if errors.Is(err, io.EOF) {
			a.imported = next
			return nil
		}
		if err != nil {
			return err
		}
		switch section {
		case sectionFound:
			var f foundInterface
			if err := json.Unmarshal(data, &f); err != nil {
				return fmt.Errorf("an interface as it was found: %q: %w", data, err)
			}
			next.found[f.Name] = f.Record
		case sectionHistory:
			next.history = data
		default:
			a.rt.Log.Warn("the predecessor hands over what this version does not know", "section", section)
		}
	}
}

// imported is what a predecessor handed over; found is nil when there was none. It is written before the token and
// read after it.
type imported struct {
	found   map[string]found.Record
	history []byte
}
