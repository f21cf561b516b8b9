// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package run

import (
	"fmt"
	"text/tabwriter"

	"github.com/ashlar-nos/ashlar/compat-tests/internal/evidence"
)

// table shows results as they come, and counts the bad ones.
type table struct {
	w           *tabwriter.Writer
	rows, red   int
	interaction int
}

func (t *table) head() { fmt.Fprintln(t.w, "CONSUMER\tCONTRACT\tPROVIDER\tINTERACTIONS\tRESULT\t") }

func (t *table) row(doc evidence.Document, known bool) {
	note := ""
	if known {
		note = "known"
	}
	t.rows++
	t.interaction += doc.Interactions
	fmt.Fprintf(t.w, "%s\t%s\t%s %s\t%d\t%s\t%s\n", doc.Consumer, doc.Contract, doc.Provider, doc.ProviderVersion, doc.Interactions, doc.Result, note)
	if doc.Result != evidence.Passed {
		t.red++
		for _, f := range doc.Failures {
			fmt.Fprintf(t.w, "\t\t\t\t%s\t\n", f)
		}
	}
}

func (t *table) end() error {
	fmt.Fprintf(t.w, "%d edges, %d interactions, %d edges red\t\n", t.rows, t.interaction, t.red)
	if err := t.w.Flush(); err != nil {
		return err
	}
	if t.red > 0 {
		return fmt.Errorf("%d of %d edges: %w", t.red, t.rows, ErrFailed)
	}
	return nil
}
