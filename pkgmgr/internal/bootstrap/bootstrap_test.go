// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/bootstrap"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generations"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/storetest"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test gives files to another user: run it as root")
	}
}

// device makes a repository of three components, two versions of one, and a root to install it below.
func device(t *testing.T) (w *storetest.Workshop, o bootstrap.Options) {
	t.Helper()
	w = storetest.New(t)
	for component, versions := range map[string][]string{"pkgmgr": {"1.0.0"}, "supervisor": {"1.0.0"}, "rib": {"1.9.0", "1.10.0"}} {
		for _, version := range versions {
			w.Package(storetest.Manifest(component, version, "takeover"), version, nil)
		}
	}
	return w, bootstrap.Options{
		Root: t.TempDir(), Repository: filepath.Join(w.Dir, "repo"), Keys: filepath.Join(w.Dir, "keys"),
		Versions: map[string]string{}, Now: time.Unix(1, 0), Out: &bytes.Buffer{},
	}
}

func TestInstallsTheNewest(t *testing.T) {
	needRoot(t)
	for want, versions := range map[string]map[string]string{"1.10.0": {}, "1.9.0": {"rib": "1.9.0"}} {
		_, o := device(t)
		o.Versions = versions
		if err := bootstrap.Run(o); err != nil {
			t.Fatal(err)
		}
		l, err := layout.New(o.Root)
		if err != nil {
			t.Fatal(err)
		}
		committed := filepath.Join(l.ComponentState("pkgmgr"), generations.Committed)
		text, err := os.ReadFile(filepath.Join(committed, "rib/bin/ribd"))
		if err != nil || string(text) != want {
			t.Errorf("rib %s boots, %v, want %s", text, err, want)
		}
		info, err := os.Stat(filepath.Join(committed, "pkgmgr/bin/pkgmgrd"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Sys().(*syscall.Stat_t).Uid == 0 {
			t.Error("the package manager's files belong to root")
		}
		if err := bootstrap.Run(o); err == nil || !strings.Contains(err.Error(), "installed already") {
			t.Errorf("a second time: %v", err)
		}
	}
}

func TestRefusalsSayWhatIsMissing(t *testing.T) {
	needRoot(t)
	for desc, tt := range map[string]struct {
		change func(o *bootstrap.Options)
		want   string
	}{
		"a version that is not there": {func(o *bootstrap.Options) { o.Versions["rib"] = "7.0.0" }, "no package that can be used of rib 7.0.0"},
		"no repository":               {func(o *bootstrap.Options) { o.Repository = t.TempDir() }, "is it a repository?"},
		"no keys":                     {func(o *bootstrap.Options) { o.Keys = "" }, "--keys names the directory"},
		"strange keys": {func(o *bootstrap.Options) { o.Keys = filepath.Join(storetest.New(t).Dir, "keys") },
			"no package that can be used of pkgmgr, supervisor; refused were:"},
	} {
		_, o := device(t)
		tt.change(&o)
		if err := bootstrap.Run(o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", desc, err, tt.want)
		}
	}
}

func TestRunningDeviceIsLeftAlone(t *testing.T) {
	needRoot(t)
	_, o := device(t)
	dir := filepath.Join(o.Root, "var/lib/ashlar/supervisor")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := bootstrap.Run(o); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("got %v", err)
	}
}
