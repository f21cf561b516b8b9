// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package clock tells the time as openconfig-system has it.
package clock

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// slack is by how much the kernel's boot time wavers, since it is derived from a clock that is steered.
const slack = 2 * time.Second

// Clock reads the machine's clocks. It is used by one goroutine.
type Clock struct{ boot time.Time }

// Reading is the time at one moment.
type Reading struct {
	// Now is UTC in the form of RFC 3339, whole seconds.
	Now string
	// Boot is when the machine was started; it moves only when the clock was set.
	Boot time.Time
	// Up is how long ago that was, by a clock that nobody sets; time asleep counts.
	Up time.Duration
}

// Read returns the time now.
func (c *Clock) Read() (Reading, error) {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return Reading{}, fmt.Errorf("clock: %w", err)
	}
	boot, err := bootTime("/proc/stat")
	if err != nil {
		return Reading{}, err
	}
	if boot.Sub(c.boot).Abs() >= slack {
		c.boot = boot
	}
	return Reading{Now: time.Now().UTC().Format(time.RFC3339), Boot: c.boot, Up: time.Duration(up.Nano())}, nil
}

func bootTime(file string) (time.Time, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return time.Time{}, err
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			seconds, err := strconv.ParseInt(string(bytes.TrimSpace(rest)), 10, 64)
			if err != nil {
				return time.Time{}, fmt.Errorf("%s: btime: %w", file, err)
			}
			return time.Unix(seconds, 0), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s has no btime", file)
}
