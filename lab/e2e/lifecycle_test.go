// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ashlar-nos/ashlar/lab/instance"
	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/ashlar-nos/ashlar/lab/process"
	"github.com/ashlar-nos/ashlar/lab/topology"
)

func TestUpThenDown(t *testing.T) {
	lab := filepath.Join(build, "bin", "ashlar-lab")
	own := name(t)
	run := func(arguments ...string) string {
		t.Helper()
		out, err := exec.Command(lab, append(arguments, "--name", own)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", arguments, err, out)
		}
		return string(out)
	}
	run("up")
	defer exec.Command(lab, "down", "--name", own).Run()
	text, err := os.ReadFile(filepath.Join(build, "lab", own, "env"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[key] = value
	}
	for _, key := range strings.Fields(`ASHLAR ASHLAR_SOCKET GNMI_ADDR GNMI_CA GNMI_CERT GNMI_KEY GNMI_USER GNMI_PASSWORD
		DEVICE_NETNS DEVICE_STATE_DIR DEVICE_IF_A DEVICE_IF_B DEVICE_IF_B2 DEVICE_IP4_A DEVICE_IP6_A DEVICE_IP4_B DEVICE_IP6_B
		HOST_A_NETNS HOST_A_IF HOST_A_IP4 HOST_A_IP6 HOST_B_NETNS HOST_B_IF HOST_B_IP4 HOST_B_IP6`) {
		if env[key] == "" {
			t.Errorf("env lacks %s", key)
		}
	}
	for _, way := range [][]string{
		{"--socket", env["ASHLAR_SOCKET"]},
		{"--target", env["GNMI_ADDR"], "--ca", env["GNMI_CA"], "--cert", env["GNMI_CERT"], "--key", env["GNMI_KEY"]},
	} {
		if out, err := exec.Command(env["ASHLAR"], append(way, "get", "--type", "config", "/")...).CombinedOutput(); err != nil {
			t.Errorf("ashlar by %s: %v: %s", way[0], err, out)
		}
	}
	for _, key := range []string{"DEVICE_NETNS", "HOST_A_NETNS", "HOST_B_NETNS"} {
		if err := exec.Command("nsenter", "--net="+filepath.Join(netns.Directory, env[key]), "true").Run(); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if out := run("down"); !strings.Contains(out, "nothing is left") {
		t.Errorf("down: %s", out)
	}
	if out := run("down"); !strings.Contains(out, "is not up") {
		t.Errorf("second down: %s", out)
	}
}

func TestDownAfterACrash(t *testing.T) {
	for _, test := range []struct {
		desc   string
		wreck  func(*testing.T, *instance.Lab)
		remain bool
	}{
		{"supervisor dead", func(t *testing.T, lab *instance.Lab) { killSupervisor(t, lab) }, true},
		{"everything dead", func(t *testing.T, lab *instance.Lab) {
			supervisor, err := lab.Supervisor()
			if err != nil {
				t.Fatal(err)
			}
			if err := lab.Device.KillEverything(t.Context(), supervisor); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"supervisor's record lost", func(t *testing.T, lab *instance.Lab) {
			killSupervisor(t, lab)
			if err := os.RemoveAll(lab.Device.Layout.ComponentState("supervisor")); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"names gone", func(t *testing.T, lab *instance.Lab) {
			if err := netns.Remove(lab.Topology.HostA.Name()); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(strings.ReplaceAll(strings.ReplaceAll(test.desc, " ", "-"), "'", ""), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			lab, err := instance.Up(ctx, build, name(t))
			if err != nil {
				t.Fatal(err)
			}
			defer lab.Close()
			test.wreck(t, lab)
			if err := instance.Down(ctx, build, lab.Name); err != nil {
				t.Fatal(err)
			}
			if strays, _ := process.WithEnvironment("ASHLAR_ROOT=" + lab.Device.Root); len(strays) > 0 {
				t.Errorf("still alive: %v", strays)
			}
			if _, err := os.Stat(lab.Device.Root); err == nil {
				t.Errorf("%s is still there", lab.Device.Root)
			}
		})
	}
}

func killSupervisor(t *testing.T, lab *instance.Lab) {
	t.Helper()
	supervisor, err := lab.Supervisor()
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDownLeavesOthersAlone(t *testing.T) {
	var wait sync.WaitGroup
	labs := make([]*instance.Lab, 2)
	for i := range labs {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			lab, err := instance.Up(ctx, build, name(t)+"-"+string(rune('a'+i)))
			if err != nil {
				t.Error(err)
			}
			labs[i] = lab
		})
	}
	wait.Wait()
	for _, lab := range labs {
		if lab == nil {
			t.FailNow()
		}
		defer lab.Close()
	}
	if err := instance.Down(t.Context(), build, labs[0].Name); err != nil {
		t.Error(err)
	}
	(&rig{Lab: labs[1]}).answersLocally(t)
	if _, err := topology.Open(labs[1].Topology.Name); err != nil {
		t.Errorf("the other lab: %v", err)
	}
	if err := instance.Down(t.Context(), build, labs[1].Name); err != nil {
		t.Error(err)
	}
}

func TestSecondUpIsRefused(t *testing.T) {
	r := bare(t)
	if _, err := instance.Up(t.Context(), build, r.Name); !errors.Is(err, instance.ErrUp) {
		t.Errorf("second Up = %v", err)
	}
	r.answersLocally(t)
}

// answersLocally: the management plane works.
func (r *rig) answersLocally(t *testing.T) {
	t.Helper()
	until(t, "hostname", func(ctx context.Context) error { // telemetry follows readiness by some milliseconds
		out, err := r.Operate(ctx, "get", "/system/state/hostname")
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
}

// A reboot: no process, nothing pinned, only what is on disk.
func TestReboot(t *testing.T) {
	r := configured(t)
	r.answers(t, everywhere...)
	before := r.configuration(t)
	supervisor, err := r.Supervisor()
	if err != nil {
		t.Fatal(err)
	}
	r.pids(t)
	if err := r.Device.KillEverything(t.Context(), supervisor); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(build, "bin", "ashlard"), "clean", "--root", r.Device.Root).CombinedOutput(); err != nil {
		t.Fatalf("clean: %v: %s", err, out)
	}
	if err := r.StartSupervisor(); err != nil {
		t.Fatal(err)
	}
	r.pids(t)
	if after := r.configuration(t); after != before {
		t.Errorf("configuration before:\n%s\nafter:\n%s", before, after)
	}
	r.answers(t, everywhere...)
}

// The supervisor alone dies and is started again: nothing else may notice.
func TestSupervisorIsReplaced(t *testing.T) {
	r := configured(t)
	before := r.pids(t)
	killSupervisor(t, r.Lab)
	r.answers(t, everywhere...)
	if err := r.StartSupervisor(); err != nil {
		t.Fatal(err)
	}
	after := r.pids(t)
	for name, pid := range before {
		if after[name] != pid || !r.Device.Status(name).GetAdopted() {
			t.Errorf("%s: pid %d before and %d after, adopted %v", name, pid, after[name], r.Device.Status(name).GetAdopted())
		}
	}
	r.answersLocally(t)
}

// A tree below a private directory with a long path: components of other users could neither run from there nor
// have their sockets there.
func TestUpFromAClosedTree(t *testing.T) {
	closed := filepath.Join(t.TempDir(), strings.Repeat("deep", 20))
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"bin", "generation", "trees"} {
		if err := os.CopyFS(filepath.Join(closed, part), os.DirFS(filepath.Join(build, part))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lab, err := instance.Up(ctx, closed, name(t))
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	(&rig{Lab: lab}).answersLocally(t)
	if err := instance.Down(ctx, closed, lab.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lab.Device.Root); err == nil {
		t.Errorf("%s is still there", lab.Device.Root)
	}
}
