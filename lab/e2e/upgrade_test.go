// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/lab/repository"
	"github.com/ashlar-nos/ashlar/lab/trial"
	"github.com/ashlar-nos/ashlar/lab/upgrade"
)

// packages makes the repository of all released versions and of the tree's own, with the results of their contract tests.
func packages(t *testing.T) *repository.Repository {
	t.Helper()
	make := exec.Command("make", "--silent", "--directory", "../..", "repository")
	make.Env = append(os.Environ(), "MAKEFLAGS=")
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("make repository: %v\n%s", err, out)
	}
	r, err := repository.Open(build + "/repo")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// installed starts a device of the oldest version of everything, under load, and takes it away after the test.
func installed(t *testing.T) *trial.Trial {
	t.Helper()
	packages(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := trial.Start(ctx, trial.Options{Build: build, Name: name(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var failure error
		if t.Failed() {
			failure = errors.New("the test failed")
		}
		if err := r.End(context.Background(), failure); err != nil {
			t.Error(err)
		}
	})
	return r
}

// soak is how long these tests observe a new version.
const soak = 500 * time.Millisecond

// One component for each mode of handover goes up and back under load, and nobody who calls tries again.
func TestUpgradeInService(t *testing.T) {
	r := installed(t)
	r.Automation.Strict(true)
	for _, test := range []struct{ mode, component string }{
		{"takeover", "rib"}, {"takeover", "config"}, {"transfer", "interfaces"}, {"restart", "dataplane"},
		{"restart", "state"}, {"restart", "pkgmgr"}, {"reexec", "supervisor"},
	} {
		t.Run(test.mode+" "+test.component, func(t *testing.T) {
			for range 2 {
				from, to, err := r.Other(t.Context(), test.component)
				if err != nil {
					t.Fatal(err)
				}
				result, err := r.Packages.Upgrade(t.Context(), upgrade.Options{Soak: soak, Commit: true}, test.component+"="+to)
				if err := errors.Join(err, result.Err()); err != nil {
					t.Fatal(err)
				}
				v := r.Judge(t.Context(), test.component, to)
				t.Logf("%s → %s: frozen %v, %d packets, %d calls retried", from, to, result.Frozen[test.component], v.Packets, v.Retried)
				if v.Fault != nil {
					t.Error(v.Fault)
				}
			}
		})
	}
}

// What was applied and is not committed goes back by itself.
func TestCommitTimerRunsOut(t *testing.T) {
	r := installed(t)
	r.Automation.Strict(true)
	from, to, err := r.Other(t.Context(), "host")
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.Packages.Upgrade(t.Context(), upgrade.Options{Soak: soak, Timer: 2 * time.Second}, "host="+to)
	if err := errors.Join(err, result.Err()); err != nil {
		t.Fatal(err)
	}
	if versions, err := r.Packages.Versions(t.Context()); err != nil || versions["host"] != to {
		t.Fatalf("host %s runs, not %s: %v", versions["host"], to, err)
	}
	if v := r.Judge(t.Context(), "host", from); v.Fault != nil {
		t.Error(v.Fault)
	}
	now, err := r.Packages.Show(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if now.GetCommittedGeneration() != 1 || !strings.Contains(now.GetCurrent().GetReason(), "not committed within") {
		t.Errorf("generation %d is committed; the operation's reason is %q", now.GetCommittedGeneration(), now.GetCurrent().GetReason())
	}
}
