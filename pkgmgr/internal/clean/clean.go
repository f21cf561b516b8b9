// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package clean takes a device off the machine: its processes, control groups, sockets and pins. What is
// in the state and log directories stays. The caller holds the device's lock.
package clean

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/cgroup"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/pins"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// limit bounds the wait for killed processes.
const limit = 10 * time.Second

// Device removes everything. It goes on after an error, so that as little as possible is left, and
// returns all of them. A device that is not there is no error. book is nil when the record is damaged.
func Device(l layout.Layout, book *children.Book, groups *cgroup.Manager) error {
	return errors.Join(
		endRecorded(book),
		endUnrecorded(l),
		Groups(groups),
		removeRun(l),
		pins.Remove(l.PinDir()),
	)
}

// endRecorded kills the processes of the record: those that still have the recorded start time.
func endRecorded(book *children.Book) error {
	if book == nil {
		return nil
	}
	var all []error
	for name, c := range book.All() {
		for _, recorded := range c.Processes() {
			if recorded.PID == 0 {
				continue
			}
			if p, err := process.Adopt(recorded.PID, recorded.StartTime); err == nil {
				all = append(all, process.KillAll([]*process.Process{p}, limit))
			}
		}
		_, err := book.Change(name, func(c *children.Child) {
			c.PID, c.StartTime, c.LastExit, c.Moving = 0, 0, "ended by ashlard clean", false
			c.Candidate, c.Draining, c.Choice, c.Trial = nil, nil, nil, nil
		})
		all = append(all, err)
	}
	return errors.Join(all...)
}

// endUnrecorded kills processes that carry the device's mark and are in no record, guards of a supervisor among them.
func endUnrecorded(l layout.Layout) error {
	strays, err := process.FindByEnvironment(layout.EnvRoot+"="+l.Root, tree.EnvComponent+"=")
	guards, e := process.FindByEnvironment(layout.EnvRoot+"="+l.Root, "ASHLAR_GUARD=")
	return errors.Join(err, e, process.KillAll(append(strays, guards...), limit))
}

// Groups kills what is left in the device's control groups and removes them.
func Groups(groups *cgroup.Manager) error {
	var all []error
	for _, name := range groups.Components() {
		g, err := groups.Group(name)
		if err != nil {
			all = append(all, err)
			continue
		}
		all = append(all, g.Kill(limit), g.Remove())
	}
	return errors.Join(append(all, groups.Remove())...)
}

func removeRun(l layout.Layout) error {
	if err := os.RemoveAll(l.RunDir()); err != nil {
		return fmt.Errorf("clean: %w", err)
	}
	return nil
}
