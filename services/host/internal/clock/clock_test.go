// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	var c Clock
	r, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	now, err := time.Parse(time.RFC3339, r.Now)
	if err != nil || time.Since(now).Abs() > time.Minute || r.Now[len(r.Now)-1] != 'Z' {
		t.Errorf("now is %q: %v", r.Now, err)
	}
	if since := time.Since(r.Boot); (since - r.Up).Abs() > time.Minute {
		t.Errorf("booted %v ago, up %v", since, r.Up)
	}
	again, err := c.Read()
	if err != nil || !again.Boot.Equal(r.Boot) || again.Up < r.Up {
		t.Errorf("%+v after %+v: %v", again, r, err)
	}
}

func TestBootTimeOfDamagedFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "stat")
	for content, ok := range map[string]bool{"cpu 1\nbtime 17\nx 1\n": true, "": false, "cpu 1\n": false, "btime x\n": false} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if at, err := bootTime(file); (err == nil) != ok || ok && at.Unix() != 17 {
			t.Errorf("%q: %v, %v", content, at, err)
		}
	}
	if _, err := bootTime(file + "x"); err == nil {
		t.Error("no error for a file that is not there")
	}
}
