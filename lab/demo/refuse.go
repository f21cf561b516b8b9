// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-nos/ashlar/lab/faulty"
	"github.com/ashlar-nos/ashlar/lab/upgrade"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// victim is the component of which there are versions that must not run.
const victim = "rib"

// bad is a package that must not come to run.
type bad struct {
	kind    faulty.Kind
	version string
	// what it is, for the table; words are what the refusal must say, or none when it is to be applied and fails.
	what  string
	words []string
	// observed is how long it is observed when it is applied.
	observed time.Duration
}

// refused are refused before anything of them runs.
func refused() []bad {
	return []bad{
		{kind: faulty.UnmetContract, version: "1.8.1", what: "a contract level that nobody provides", words: []string{"rib 1.8.1 requires", "provides level"}},
		{kind: faulty.NoEvidence, version: "1.8.2", what: "no contract-test results", words: []string{"no contract-test result", "rib 1.8.2", "ashlar install add"}},
		{kind: faulty.FailedEvidence, version: "1.8.3", what: "a contract test that failed", words: []string{"does not work with", "failed on"}},
		{kind: faulty.Tampered, version: "1.8.4", what: "a package that was changed", words: []string{"damaged"}},
	}
}

// failing are applied and do not stay.
func failing() []bad {
	return []bad{
		{kind: faulty.Hang, version: "1.9.1", what: "hangs at readiness"},
		{kind: faulty.Idle, version: "1.9.2", what: "says SERVING and installs no route"},
		{kind: faulty.Crash, version: "1.9.3", what: "crashes after 2 s", observed: 4 * time.Second},
	}
}

// makeBad makes the packages that must not run, before anything is measured.
func (d *demo) makeBad(ctx context.Context) (string, error) {
	root := filepath.Dir(d.Build)
	all := slices.Concat(refused(), failing())
	for _, b := range all {
		p, err := faulty.InBuild(root).Make(ctx, faulty.Spec{Kind: b.kind, Component: victim, Version: b.version})
		if err != nil {
			return "", err
		}
		d.bad[b.kind] = p
	}
	return fmt.Sprintf("%d packages of %s", len(all), victim), nil
}

// refuse hands a package to the device as an operator would, and sees it refused in words that help.
func (d *demo) refuse(ctx context.Context, b bad) (string, error) {
	out, err := d.lab.Operate(ctx, append([]string{"install", "add"}, d.bad[b.kind].Files()...)...)
	d.say("$ ashlar install add %s", filepath.Base(d.bad[b.kind].RPM))
	if err == nil {
		d.say("$ ashlar install upgrade %s=%s", victim, b.version)
		out, err = d.lab.Operate(ctx, "install", "upgrade", victim+"="+b.version)
	}
	d.quote(out)
	if err == nil {
		d.fault("%s %s (%s) was not refused", victim, b.version, b.what)
		return "not refused", nil
	}
	for _, words := range b.words {
		if !strings.Contains(out, words) {
			d.fault("the refusal of %s %s does not say %q", victim, b.version, words)
		}
	}
	return "refused", d.runs(ctx, victim, d.repository.Oldest(victim))
}

// quote shows what a command printed.
func (d *demo) quote(out string) {
	for line := range strings.Lines(out) {
		d.say("%s", strings.TrimRight(line, "\n"))
	}
}

// fail applies a version that is bad in a way that no test has found, and sees the device go back by itself.
func (d *demo) fail(ctx context.Context, b bad) (string, error) {
	if err := d.packages.Add(ctx, d.bad[b.kind].Files()...); err != nil {
		return "", err
	}
	d.say("$ ashlar install upgrade %s=%s", victim, b.version)
	if _, err := d.packages.Propose(ctx, victim+"="+b.version); err != nil {
		return "", err
	}
	cut := false
	tell := d.tell(ctx)
	each := func(p *pkgv1.Progress) {
		cut = cut || p.GetFrozenUs() > 0
		tell(p)
	}
	d.say("$ ashlar install apply --commit --soak %v", max(soak, b.observed))
	result, err := d.packages.Apply(ctx, upgrade.Options{Soak: max(soak, b.observed), Commit: true, Each: each})
	if err != nil {
		return "", err
	}
	if result.Outcome != pkgv1.Outcome_OUTCOME_REVERSED {
		d.fault("the upgrade to %s %s (%s) ended as %s", victim, b.version, b.what, result.Word())
	}
	if cut != (b.observed > 0) {
		d.fault("%s %s (%s): cut over: %v", victim, b.version, b.what, cut)
	}
	how := "never cut over"
	if cut {
		how = "reversed by itself"
	}
	return how, errors.Join(d.runs(ctx, victim, d.repository.Oldest(victim)), d.forget(ctx))
}

// forget drops what is pending, if anything is.
func (d *demo) forget(ctx context.Context) error {
	now, err := d.packages.Show(ctx)
	if err != nil || now.GetPending() == nil {
		return err
	}
	return d.packages.Abort(ctx)
}
