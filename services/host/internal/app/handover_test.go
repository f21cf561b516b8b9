// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	"github.com/ashlar-nos/ashlar/services/host/internal/app"
	"github.com/ashlar-nos/ashlar/services/host/internal/hostname"
	"github.com/ashlar-nos/ashlar/services/host/internal/sandbox"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
)

const system = "/system/config"

// says waits until a process says that it makes the system so.
func says(t *testing.T, p *kittest.Process, want string) {
	t.Helper()
	kittest.Eventually(t, func() error {
		out := p.Rehearse()
		if !out.GetSynced() {
			return errors.New(out.GetMissing())
		}
		if o := out.GetOutputs(); len(o) != 1 || o[0].GetName() != "system" || len(o[0].GetSample()) != 1 || o[0].GetSample()[0] != want {
			return fmt.Errorf("says %v, want %q", o, want)
		}
		return nil
	})
}

func named(t *testing.T, want string) {
	t.Helper()
	if now, err := hostname.Current(); err != nil || now != want {
		t.Errorf("the machine is called %q, want %q (%v)", now, want, err)
	}
}

func TestCandidateFollowsAndTouchesNothing(t *testing.T) {
	sandbox.Must(t, unix.Sethostname([]byte("found")))
	d := device(t)
	d.Config.Preset(map[string]string{system: `{"hostname":"r1"}`})
	alone := d.Stage(app.New)
	says(t, alone, "hostname r1")
	named(t, "found")
	if left, err := os.ReadDir(d.StateDir("host")); err != nil || len(left) != 0 {
		t.Errorf("files %v, %v", left, err)
	}
	alone.Stop()
	d.Run()
	d.WaitReady()
	named(t, "r1")
	next := d.Stage(app.New)
	says(t, next, "hostname r1")
	sandbox.Must(t, d.Config.Set(deadline(t), map[string]string{system: `{"hostname":"r2"}`}))
	says(t, d.Running(), "hostname r2")
	says(t, next, "hostname r2")
	sandbox.Must(t, d.Config.Set(deadline(t), map[string]string{system: ""}))
	says(t, d.Running(), "hostname as found")
	says(t, next, "hostname as found")
}

// TestHandOver replaces the process; the name that was found is known to the new one even if the file is lost.
func TestHandOver(t *testing.T) {
	sandbox.Must(t, unix.Sethostname([]byte("found")))
	d := device(t)
	d.Config.Preset(map[string]string{system: `{"hostname":"r1"}`})
	d.Run()
	d.WaitReady()
	for _, lost := range []bool{false, true} {
		old, next := d.Running(), d.Stage(app.New)
		says(t, next, "hostname r1")
		sandbox.Must(t, old.Freeze())
		parts, err := old.Export()
		sandbox.Must(t, err)
		sandbox.Must(t, next.Import(parts))
		old.Drain()
		old.Wait()
		if lost {
			sandbox.Must(t, os.Remove(filepath.Join(d.StateDir("host"), "hostname.json")))
		}
		named(t, "r1")
		d.Use(next)
		named(t, "r1")
	}
	if _, err := os.Stat(filepath.Join(d.StateDir("host"), "hostname.json")); err != nil {
		t.Errorf("what was handed over is not kept: %v", err)
	}
	sandbox.Must(t, d.Config.Set(deadline(t), map[string]string{system: ""}))
	named(t, "found")
}

func TestImportRefusesNonsense(t *testing.T) {
	d := device(t)
	next := d.Stage(app.New)
	head := &lifecyclev1.Part{Component: "host", Version: "9.9.9", Epoch: 1}
	if err := next.Import([]*lifecyclev1.Part{head, {Section: "hostname", Data: []byte("{")}}); err == nil {
		t.Error("accepted")
	}
	if err := next.Import([]*lifecyclev1.Part{head, {Section: "of a newer version", Data: []byte("{")}}); err != nil {
		t.Errorf("a section that is not known: %v", err)
	}
}
