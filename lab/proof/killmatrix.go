// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package proof

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ashlar-nos/ashlar/lab/process"
	"github.com/ashlar-nos/ashlar/lab/upgrade"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// matrixSoak is how long a version is observed: short, so that the matrix has many cases.
const matrixSoak = 500 * time.Millisecond

// mostRecords bounds how many records of one operation are tried.
const mostRecords = 64

// phases at which a component is killed; the first four are before its cutover.
var phases = []string{"staged", "warm", "synced", "cutover", "observe", "applied"}

// tally counts cases and keeps what went wrong.
type tally struct {
	cases, faults int
	errs          []error
	packets       uint64
	retried       int
}

// killMatrix upgrades every component up and down and kills the package manager as soon as each record of its
// journal is written, then the old and the new process of the component at each phase.
func killMatrix(ctx context.Context, r *rig) error {
	var t tally
	for _, component := range r.components() {
		if err := r.killManagerAtEachRecord(ctx, component, &t); err != nil {
			return err
		}
		if component == "pkgmgr" || component == "supervisor" {
			continue // the package manager was killed above; a supervisor is killed by the device's own proofs
		}
		for _, phase := range phases {
			for _, who := range []string{"old", "new"} {
				if err := r.killComponentAt(ctx, component, phase, who, &t); err != nil {
					return err
				}
			}
		}
	}
	r.say("kill-matrix: %d cases, %d failed; %d packets sent, 0 lost in the %d good ones; %d calls retried",
		t.cases, t.faults, t.packets, t.cases-t.faults, t.retried)
	return errors.Join(t.errs...)
}

// killManagerAtEachRecord begins an operation for n = 1, 2, … and kills pkgmgrd at its nth record, until an
// operation has no more.
func (r *rig) killManagerAtEachRecord(ctx context.Context, component string, t *tally) error {
	journal := filepath.Join(r.Lab.Device.Layout.ComponentState("pkgmgr"), "journal")
	for n := 1; n <= mostRecords; n++ {
		killed := false
		err := r.attempt(ctx, component, fmt.Sprintf("pkgmgrd at record %d", n), t, func(stop <-chan struct{}) error {
			grown, err := awaitRecords(journal, n, stop)
			if err != nil || !grown {
				return err
			}
			killed = true
			return r.kill(ctx, "pkgmgr")
		}, nil)
		if err != nil {
			return err
		}
		if !killed {
			return nil
		}
	}
	return nil
}

// killComponentAt kills the running or the staged process of a component when its upgrade has come to a phase.
func (r *rig) killComponentAt(ctx context.Context, component, phase, who string, t *tally) error {
	return r.attempt(ctx, component, fmt.Sprintf("%s %s at %s", who, component, phase), t, nil, func(p *pkgv1.Progress) {
		if p.GetComponent() != component || p.GetPhase() != phase {
			return
		}
		status := r.Lab.Device.Status(component)
		victim := status.GetPid()
		if who == "new" && status.GetCandidate() != nil {
			victim = status.GetCandidate().GetPid()
		}
		if id, err := process.Identify(int(victim)); err == nil {
			id.Kill(ctx)
		}
	})
}

func (r *rig) kill(ctx context.Context, component string) error {
	id, err := process.Identify(int(r.Lab.Device.Status(component).GetPid()))
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	return id.Kill(ctx)
}

// attempt is one case: go to the other version while something is killed, and see how the device ends.
func (r *rig) attempt(ctx context.Context, component, what string, t *tally, beside func(stop <-chan struct{}) error, each func(*pkgv1.Progress)) error {
	from, to, err := r.Other(ctx, component)
	if err != nil {
		return err
	}
	stop, besides := make(chan struct{}), make(chan error, 1)
	go func() {
		if beside == nil {
			besides <- nil
			return
		}
		besides <- beside(stop)
	}()
	begin := time.Now()
	result, err := r.Packages.Upgrade(ctx, upgrade.Options{Soak: matrixSoak, Commit: true, Each: each}, component+"="+to)
	close(stop)
	if e := <-besides; e != nil {
		return e
	}
	v := r.Judge(ctx, component, from, to)
	t.cases++
	t.packets += v.Packets
	t.retried += v.Retried
	outcome := result.Word()
	if err != nil {
		outcome = "call ended: " + err.Error()
	}
	r.say("%-11s %s → %s  kill %-28s %-10s runs %s  %6d packets, %d lost, %d calls retried, %v", component, from, to, what,
		outcome, v.Version, v.Packets, v.Lost, v.Retried, time.Since(begin).Round(time.Millisecond))
	if v.Fault != nil {
		t.faults++
		t.errs = append(t.errs, fmt.Errorf("%s, %s: %w", component, what, v.Fault))
		r.say("FAULT: %v", v.Fault)
	}
	return ctx.Err()
}
