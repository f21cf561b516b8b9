// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package proof

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-nos/ashlar/lab/upgrade"
)

// rounds is how many upgrades and as many ways back there are; each goes through the components in turn.
const rounds = 50

// backToBack upgrades and goes back without a pause. Nothing may be lost, no call may fail without being tried
// again, and what the device holds at the end is what it held after the first turn.
func backToBack(ctx context.Context, r *rig) error {
	n := r.Rounds
	if n == 0 {
		n = rounds
	}
	r.Automation.Strict(true)
	names := r.components()
	var before holdings
	var errs []error
	for i := range 2 * n {
		if i == 2*len(names) || i == 0 {
			// One turn through all components later, everything that is made once has been made.
			var err error
			if before, err = r.holdings(); err != nil {
				return err
			}
		}
		// Up and back of one component, then the next.
		component := names[(i/2)%len(names)]
		from, to, err := r.Other(ctx, component)
		if err != nil {
			return err
		}
		begin := time.Now()
		result, err := r.Packages.Upgrade(ctx, upgrade.Options{Soak: matrixSoak, Commit: true}, component+"="+to)
		v := r.Judge(ctx, component, to)
		r.say("%3d of %d  %-11s %s → %s  %s; frozen %v; %d packets, %d lost; %d calls failed; %v", i+1, 2*n, component, from, to,
			result.Word(), result.Frozen[component].Round(100*time.Microsecond), v.Packets, v.Lost, v.Failed, time.Since(begin).Round(time.Millisecond))
		if err := errors.Join(err, result.Err(), v.Fault); err != nil {
			errs = append(errs, fmt.Errorf("%d, %s: %w", i+1, component, err))
			r.say("FAULT: %v", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	after, err := r.holdings()
	if err != nil {
		return err
	}
	r.say("held before: %v", before)
	r.say("held after:  %v", after)
	return errors.Join(append(errs, after.leaked(before))...)
}
