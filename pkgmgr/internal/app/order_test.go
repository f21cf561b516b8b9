// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

// chain is the shape of the real device: two roots, one component on both.
func chain() []component {
	return []component{
		{name: "store", provides: "test.store.v1"},
		{name: "plane", provides: "test.plane.v1"},
		{name: "conf", provides: "test.conf.v1", requires: []string{"test.store.v1"}},
		{name: "routes", requires: []string{"test.conf.v1", "test.plane.v1"}},
	}
}

func TestStartsInOrderOfReadiness(t *testing.T) {
	d := newDevice(t, chain()...)
	d.flag("store", "unready", true)
	d.start()
	d.await("plane", "to be ready", isReady)
	store := d.await("store", "to answer", func(c *supervisorv1.ComponentStatus) bool { return c.GetReason() != "" })
	if store.GetPhase() != supervisorv1.Phase_PHASE_STARTING || store.GetReason() != "the canary does not sing" {
		t.Errorf("store is %v because %q, want starting with the probe's own words", store.GetPhase(), store.GetReason())
	}
	if c := d.get("conf"); c.GetPhase() != supervisorv1.Phase_PHASE_WAITING || c.GetReason() != "waits for store" || c.GetPid() != 0 {
		t.Errorf("conf is %v because %q, want it to wait for store", c.GetPhase(), c.GetReason())
	}
	d.flag("store", "unready", false)
	d.await("routes", "to be ready", isReady)
	order := []string{"store", "conf", "routes"}
	for i, name := range order[1:] {
		before, after := d.get(order[i]), d.get(name)
		ready := before.GetStarted().AsTime().UnixMilli() + int64(before.GetReadyAfterMs())
		if after.GetStarted().AsTime().UnixMilli() < ready {
			t.Errorf("%s was started before %s was ready", name, order[i])
		}
	}
}

func TestUnreadyAfterReady(t *testing.T) {
	d := newDevice(t, chain()...)
	d.startReady()
	pid := d.get("routes").GetPid()
	d.flag("store", "unready", true)
	c := d.await("store", "to be unready", func(c *supervisorv1.ComponentStatus) bool {
		return c.GetPhase() == supervisorv1.Phase_PHASE_UNREADY
	})
	if c.GetReason() != "the canary does not sing" {
		t.Errorf("reason %q", c.GetReason())
	}
	d.flag("store", "unready", false)
	d.await("store", "to be ready", isReady)
	if d.get("routes").GetPid() != pid || d.get("store").GetPid() != c.GetPid() {
		t.Error("losing readiness restarted a process")
	}
}

func TestProcessIsConfined(t *testing.T) {
	caps := "capabilities: [CAP_NET_ADMIN]\nresources: {memory: 256MiB, pids: 99, cpu_shares: 512}\n"
	d := newDevice(t, component{name: "one", more: caps}, component{name: "two"})
	d.startReady()
	one, two := d.get("one"), d.get("two")
	if one.GetUid() == two.GetUid() || one.GetUid() < 730000 {
		t.Fatalf("user ids %d and %d", one.GetUid(), two.GetUid())
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", one.GetPid()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("Uid:\t%d\t%d\t%d\t%d\n", one.GetUid(), one.GetUid(), one.GetUid(), one.GetUid()),
		fmt.Sprintf("Gid:\t%d\t%d\t%d\t%d\n", one.GetUid(), one.GetUid(), one.GetUid(), one.GetUid()),
		"Groups:\t \n",
		fmt.Sprintf("CapPrm:\t%016x\n", 1<<unix.CAP_NET_ADMIN),
		fmt.Sprintf("CapEff:\t%016x\n", 1<<unix.CAP_NET_ADMIN),
		fmt.Sprintf("CapBnd:\t%016x\n", 1<<unix.CAP_NET_ADMIN),
		fmt.Sprintf("CapAmb:\t%016x\n", 1<<unix.CAP_NET_ADMIN),
		"NoNewPrivs:\t1\n",
	} {
		if !strings.Contains(string(status), want) {
			t.Errorf("/proc/%d/status lacks %q:\n%s", one.GetPid(), want, status)
		}
	}
	group := filepath.Join("/", d.layout.ControlGroup(), "one")
	membership, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", one.GetPid()))
	if err != nil || !strings.Contains(string(membership), group+"\n") {
		t.Errorf("control groups %q, want %s among them (%v)", membership, group, err)
	}
	if info, err := os.Stat(d.layout.ComponentState("one")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("state directory: %v, %v", info, err)
	}
	if sid, err := unix.Getsid(int(one.GetPid())); err != nil || sid != int(one.GetPid()) {
		t.Errorf("session %d, %v: want one of its own", sid, err)
	}
	if one.GetMemoryBytes() == 0 {
		t.Error("no memory reported")
	}
}

func TestRosterSaysWhoIsThere(t *testing.T) {
	d := newDevice(t, chain()...)
	d.startReady()
	r, err := roster.Load(d.layout.Roster())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range r.Components {
		names = append(names, c.Name)
	}
	if want := []string{"supervisor", "plane", "store", "conf", "routes"}; !slices.Equal(names, want) {
		t.Errorf("roster %v, want %v", names, want)
	}
	p, ok := r.Provider("test.store.v1")
	if !ok || p.UID != d.get("store").GetUid() || p.Endpoint != d.layout.Socket("store.sock") {
		t.Errorf("provider %+v", p)
	}
	if !r.MayCall(d.get("conf").GetUid(), "test.store.v1") || r.MayCall(d.get("routes").GetUid(), "test.store.v1") {
		t.Error("the roster's edges are not the manifests'")
	}
}
