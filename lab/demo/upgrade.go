// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ashlar-nos/ashlar/lab/upgrade"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// soak is how long each new version is observed; shortTimer how long an uncommitted set lives in the demo.
const (
	soak       = time.Second
	shortTimer = 3 * time.Second
)

// openRepository gives the device's store the packages that there are. From now on the client does not try again.
func (d *demo) openRepository(ctx context.Context) (string, error) {
	if err := d.operate(ctx, "install", "add", d.repository.Directory); err != nil {
		return "", err
	}
	d.client.Strict(true)
	var err error
	if d.packages, err = upgrade.Dial(d.lab); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d packages", len(d.repository.Packages)), nil
}

// upgrade goes to the newest version of a component.
func (d *demo) upgrade(ctx context.Context, component string) (string, error) {
	from, to := d.repository.Oldest(component), d.repository.Newest(component)
	if from == to {
		return "", fmt.Errorf("%s has one version only in %s", component, d.repository.Directory)
	}
	if err := d.operate(ctx, "install", "upgrade", component+"="+to); err != nil {
		return "", err
	}
	d.say("$ ashlar install apply --commit --soak %v", soak)
	result, err := d.packages.Apply(ctx, upgrade.Options{Soak: soak, Commit: true, Each: d.tell(ctx)})
	if err != nil {
		return "", err
	}
	if err := result.Err(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s → %s, %s", from, to, frozen(result)), d.runs(ctx, component, to)
}

// rollBack goes back to what the device was installed with, for some components.
func (d *demo) rollBack(ctx context.Context, components ...string) (string, error) {
	d.say("$ ashlar install rollback 1 --component %s", strings.Join(components, " --component "))
	result, err := d.packages.Rollback(ctx, upgrade.Options{Soak: soak, Each: d.tell(ctx)}, first, components...)
	if err != nil {
		return "", err
	}
	if err := result.Err(); err != nil {
		return "", err
	}
	for _, component := range components {
		err = errors.Join(err, d.runs(ctx, component, d.repository.Oldest(component)))
	}
	return frozen(result), err
}

// first is the generation that the device was installed with.
const first = 1

// expire applies without committing and waits until the timer has taken it back.
func (d *demo) expire(ctx context.Context) (string, error) {
	const component = "rib"
	from, to := d.repository.Oldest(component), d.repository.Newest(component)
	if err := d.operate(ctx, "install", "upgrade", component+"="+to); err != nil {
		return "", err
	}
	d.say("$ ashlar install apply --soak %v --commit-timer %v", soak, shortTimer)
	result, err := d.packages.Apply(ctx, upgrade.Options{Soak: soak, Timer: shortTimer, Each: d.tell(ctx)})
	if err := errors.Join(err, result.Err()); err != nil {
		return "", err
	}
	if err := d.runs(ctx, component, to); err != nil {
		return "", err
	}
	begin := time.Now()
	if err := d.eventually(ctx, component, from); err != nil {
		return "", err
	}
	return fmt.Sprintf("back at %s by itself %v after it was applied", from, time.Since(begin).Round(100*time.Millisecond)), nil
}

// tell shows an operation's progress with what the stream and the client have seen until then.
func (d *demo) tell(ctx context.Context) func(*pkgv1.Progress) {
	calls := d.client.Stats()
	packets, err := d.traffic.Now(ctx)
	if err != nil {
		d.fault("the meter: %w", err)
	}
	return func(p *pkgv1.Progress) {
		now, err := d.traffic.Now(ctx)
		if err != nil {
			d.fault("the meter: %w", err)
		}
		since := d.client.Stats().Since(calls)
		d.say("%-11s %-10s %s; %d packets lost, %d calls failed so far", p.GetComponent(), p.GetPhase(), p.GetMessage(),
			max(now.Lost, packets.Lost)-packets.Lost, since.Failed)
	}
}

// frozen says for how long nobody took calls.
func frozen(result upgrade.Result) string {
	var parts []string
	for component, took := range result.Frozen {
		parts = append(parts, fmt.Sprintf("%s frozen for %v", component, took.Round(100*time.Microsecond)))
	}
	return strings.Join(parts, ", ")
}

// runs says whether a version of a component is the one that runs.
func (d *demo) runs(ctx context.Context, component, version string) error {
	versions, err := d.packages.Versions(ctx)
	if err == nil && versions[component] != version {
		err = fmt.Errorf("%s %s runs, not %s", component, versions[component], version)
	}
	return err
}

// backLimit bounds the wait for a return that the device makes by itself.
const backLimit = 20 * time.Second

// eventually waits until a version runs and nothing is under way.
func (d *demo) eventually(ctx context.Context, component, version string) error {
	ctx, cancel := context.WithTimeout(ctx, backLimit)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		now, err := d.packages.Show(ctx)
		if err == nil && now.GetRevertsAt() == nil && idle(now) && d.runs(ctx, component, version) == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s %s does not come back: %w", component, version, ctx.Err()), err)
		case <-ticker.C:
		}
	}
}

func idle(now *pkgv1.ShowResponse) bool {
	return now.GetCurrent().GetOutcome() != pkgv1.Outcome_OUTCOME_RUNNING
}
