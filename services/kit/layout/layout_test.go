// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

func TestMachineItself(t *testing.T) {
	for _, root := range []string{"", "/"} {
		l, err := layout.New(root)
		if err != nil {
			t.Fatal(err)
		}
		for got, want := range map[string]string{
			l.StateDir():            "/var/lib/ashlar",
			l.Socket("rib.sock"):    "/run/ashlar/rib.sock",
			l.LogFile("rib"):        "/var/log/ashlar/rib.log",
			l.PinDir():              "/sys/fs/bpf/ashlar/default",
			l.ComponentState("rib"): "/var/lib/ashlar/rib",
		} {
			if got != want {
				t.Errorf("root %q: got %s, want %s", root, got, want)
			}
		}
	}
}

func TestInstancesDiffer(t *testing.T) {
	a, errA := layout.New("/tmp/a/device")
	b, errB := layout.New("/tmp/b/device")
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a.Instance == b.Instance || a.PinDir() == b.PinDir() {
		t.Errorf("two roots share the instance %s", a.Instance)
	}
}

func TestLongRootRefused(t *testing.T) {
	_, err := layout.New("/" + strings.Repeat("x", 100))
	if err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("got %v, want an error that says what to do", err)
	}
}
