// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"encoding/hex"

	"github.com/ashlar-nos/ashlar/dataplane/internal/pins"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// outlook is what came of preparing for the token.
type outlook struct {
	err   error
	lines []string
}

func newOutlook(store *pins.Store, err error) *outlook {
	if err != nil {
		return &outlook{err: err}
	}
	hash := tables.ProgramHash()
	program := "program " + hex.EncodeToString(hash[:8])
	switch {
	case store.Fresh:
		return &outlook{lines: []string{"no tables of layout " + store.Layout() + " are pinned: new ones are filled before links move to them", program + " is accepted by the kernel"}}
	case store.Adopted:
		return &outlook{lines: []string{"tables of layout " + store.Layout() + " are adopted", program + " is the pinned one and stays"}}
	}
	return &outlook{lines: []string{"tables of layout " + store.Layout() + " are adopted", program + " is accepted by the kernel and replaces the pinned one"}}
}
