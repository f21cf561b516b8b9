// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"

	"github.com/ashlar-nos/ashlar/services/kit"
)

// Rehearse implements kit.Rehearser. Without the right to write it says what will become of program and tables,
// which is for the operator: whoever has the right has nothing to compare it with. The error is the kernel's
// reason not to accept the program.
func (s *service) Rehearse(context.Context) (kit.Rehearsal, error) {
	if s.running.Load() != nil {
		return kit.Rehearsal{Synced: true}, nil
	}
	o := s.outlook.Load()
	switch {
	case o == nil:
		return kit.Rehearsal{Missing: "the kernel is checking the program"}, nil
	case o.err != nil:
		return kit.Rehearsal{}, fmt.Errorf("the dataplane could not start: %w", o.err)
	}
	out := kit.NewOutput("tables")
	for _, line := range o.lines {
		out.Add(line)
	}
	return kit.Rehearsal{Synced: true, Outputs: []*kit.Output{out}}, nil
}
