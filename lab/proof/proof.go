// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package proof holds what takes too long for a test: upgrades of a whole device under traffic, many times over
// and with everything killed in the middle. Each proof prints a line for each case and fails when a packet was
// lost, a change that was acknowledged is missing, or the device does not end on a set of components that was judged.
package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/ashlar-nos/ashlar/lab/trial"
)

// Options say how to run.
type Options struct {
	// Build is the directory with what was built.
	Build string
	Out   io.Writer
	// Rate in packets a second.
	Rate int
	// Rounds of a proof that repeats; 0 stands for its own number.
	Rounds int
	// Components limits a proof to these; none means all.
	Components []string
}

// Rate is how many packets a second the proofs send by default.
const Rate = trial.Rate

// Names of the proofs.
func Names() []string { return slices.Sorted(maps.Keys(proofs())) }

func proofs() map[string]func(context.Context, *rig) error {
	return map[string]func(context.Context, *rig) error{
		"kill-matrix":  killMatrix,
		"back-to-back": backToBack,
	}
}

// Run runs one proof.
func Run(ctx context.Context, name string, o Options) (err error) {
	prove, ok := proofs()[name]
	if !ok {
		return fmt.Errorf("there is no proof %q; there are %v", name, Names())
	}
	t, err := trial.Start(ctx, trial.Options{Build: o.Build, Name: name, Rate: o.Rate})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.End(context.WithoutCancel(ctx), err)) }()
	return prove(ctx, &rig{Trial: t, Options: o})
}

// rig is a trial that prints.
type rig struct {
	*trial.Trial
	Options
}

// components are those to prove something of, in the order of an upgrade.
func (r *rig) components() []string {
	if len(r.Components) > 0 {
		return r.Components
	}
	return trial.Components()
}

// say prints a line.
func (r *rig) say(format string, arguments ...any) { fmt.Fprintf(r.Out, format+"\n", arguments...) }
