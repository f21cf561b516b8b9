// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package proof

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ashlar-nos/ashlar/lab/process"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// holdings are what a device takes of its machine.
type holdings struct {
	processes, descriptors, pins, groups, sockets, files int
	// disk is in bytes.
	disk int64
}

func (h holdings) String() string {
	return fmt.Sprintf("%d processes, %d descriptors, %d pins, %d control groups, %d sockets, %d files of %d KiB",
		h.processes, h.descriptors, h.pins, h.groups, h.sockets, h.files, h.disk>>10)
}

// Slack for what comes and goes by itself: connections under way, an idle one that is not closed yet; generations,
// history and logs grow, within their bounds.
const (
	slackDescriptors = 24
	slackFiles       = 64
	slackDisk        = 256 << 20
)

// leaked says what is more than before.
func (h holdings) leaked(before holdings) error {
	var errs []error
	more := func(what string, now, then, slack int) {
		if now > then+slack {
			errs = append(errs, fmt.Errorf("%s: %d before, %d now", what, then, now))
		}
	}
	more("processes", h.processes, before.processes, 0)
	more("descriptors", h.descriptors, before.descriptors, slackDescriptors)
	more("pins", h.pins, before.pins, 0)
	more("control groups", h.groups, before.groups, 0)
	more("sockets", h.sockets, before.sockets, 0)
	more("files", h.files, before.files, slackFiles)
	more("KiB on disk", int(h.disk>>10), int(before.disk>>10), slackDisk>>10)
	return errors.Join(errs...)
}

func (r *rig) holdings() (h holdings, err error) {
	at := r.Lab.Device.Layout
	ids, err := process.WithEnvironment(layout.EnvRoot + "=" + at.Root)
	if err != nil {
		return h, err
	}
	supervisor, err := r.Lab.Supervisor()
	if err != nil {
		return h, err
	}
	for _, id := range append(ids, supervisor) {
		h.processes++
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", id.PID))
		if err != nil {
			return h, err
		}
		h.descriptors += len(open)
	}
	h.pins, _, err = count(at.PinDir())
	groups, e := filepath.Glob(filepath.Join("/sys/fs/cgroup/*", at.ControlGroup(), "*"))
	h.groups = len(groups)
	sockets, _, e2 := count(at.RunDir())
	h.sockets = sockets
	files, disk, e3 := count(at.StateDir())
	h.files, h.disk = files, disk
	return h, errors.Join(err, e, e2, e3)
}

// count adds up everything below a directory.
func count(directory string) (entries int, bytes int64, err error) {
	err = filepath.WalkDir(directory, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went while we looked
		}
		if err != nil {
			return err
		}
		entries++
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return entries, bytes, err
}
