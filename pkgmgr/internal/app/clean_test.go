// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
)

// recordedChild is a line of the supervisor's record.
type recordedChild struct {
	children.Child
	uid uint32
}

func recorded(t *testing.T, d *device, name string) recordedChild {
	t.Helper()
	book, err := children.Open(filepath.Join(d.layout.ComponentState("supervisor"), "children.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ids struct{ Assigned map[string]uint32 }
	text, err := os.ReadFile(filepath.Join(d.layout.ComponentState("supervisor"), "uids.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &ids); err != nil {
		t.Fatal(err)
	}
	return recordedChild{Child: book.Get(name), uid: ids.Assigned[name]}
}

// awaitLog waits until the component's log holds the text.
func (d *device) awaitLog(name, text string) {
	d.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(d.log(name), text) {
		if time.Now().After(deadline) {
			d.t.Fatalf("the log of %s never said %s", name, text)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// expectNothingLeft looks for control groups, sockets and pins of the device.
func expectNothingLeft(t *testing.T, d *device) {
	t.Helper()
	filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && e.Name() == d.layout.Instance {
			t.Errorf("control group %s is left", path)
		}
		return nil
	})
	sockets, err := filepath.Glob(filepath.Join(d.layout.RunDir(), "*.sock"))
	if err != nil || len(sockets) > 0 {
		t.Errorf("sockets %v are left, %v", sockets, err)
	}
}

func TestCleanRemovesEverything(t *testing.T) {
	d := newDevice(t, component{name: "one", more: "capabilities: [CAP_BPF]\n"}, component{name: "two"})
	d.startReady()
	pin := filepath.Join(d.layout.PinDir(), "maps")
	if info, err := os.Stat(d.layout.PinDir()); err != nil || info.Sys() == nil {
		t.Fatalf("the pins' directory: %v", err)
	}
	if err := os.Mkdir(pin, 0o755); err != nil {
		t.Fatal(err)
	}
	one, two := d.get("one"), d.get("two")
	var st unix.Stat_t
	if err := unix.Stat(d.layout.PinDir(), &st); err != nil || st.Uid != one.GetUid() {
		t.Errorf("the pins' directory belongs to %d, %v; want %d", st.Uid, err, one.GetUid())
	}
	if err := unix.Kill(int(two.GetPid()), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	d.kill()
	// The record is damaged, so only the mark on the processes tells whose they are.
	record := filepath.Join(d.layout.ComponentState("supervisor"), "children.json")
	if err := os.WriteFile(record, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.clean()
	if alive(one.GetPid()) || alive(two.GetPid()) {
		t.Error("processes are left")
	}
	if _, err := os.Stat(d.layout.PinDir()); !os.IsNotExist(err) {
		t.Errorf("pins are left: %v", err)
	}
	expectNothingLeft(t, d)
	d.clean() // again, with nothing there
	d.startReady()
}

func TestDamagedRecordIsRefused(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	d.kill()
	record := filepath.Join(d.layout.ComponentState("supervisor"), "children.json")
	if err := os.WriteFile(record, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.expectRefusal("record of processes is damaged", "ashlard clean")
}
