// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"os/exec"
	"testing"
)

func TestParseStat(t *testing.T) {
	tail := " Z 1 2 2 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 8123 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 9"
	for _, command := range []string{"(ribd)", "(a b) c)", "(x\n)"} {
		got, err := parseStat([]byte("77 " + command + tail))
		if err != nil || got.startTime != 8123 || got.exitCode != 9 || !got.zombie() {
			t.Errorf("%q: %+v, %v", command, got, err)
		}
	}
	for _, bad := range []string{"", "77 (x", "77 (x) R 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (init) S 0 1 1 0 -1"))
	f.Fuzz(func(_ *testing.T, b []byte) { parseStat(b) })
}

func TestEnded(t *testing.T) {
	if Ended(os.Getpid()) || Resident(os.Getpid()) == 0 {
		t.Error("this process has ended")
	}
	c := exec.Command("/proc/self/exe", "-test.run=^$")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	if !Ended(c.Process.Pid) || Resident(c.Process.Pid) != 0 {
		t.Error("the other one has not")
	}
}
