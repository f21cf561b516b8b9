// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package pins makes and removes a device's directory on the BPF file system, where the dataplane pins
// its programs and maps. It holds no state.
package pins

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Prepare makes dir, mounts the BPF file system above it if the host has not, and gives dir with all that
// is pinned in it to a user.
func Prepare(dir string, uid uint32) error {
	if err := mountOver(filepath.Dir(filepath.Dir(dir))); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("pins: %w", err)
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, int(uid), int(uid))
		}
		if err != nil {
			return fmt.Errorf("pins: %w", err)
		}
		return nil
	})
}

// mountOver mounts the BPF file system on point unless it is there already.
func mountOver(point string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(point, &fs); err != nil {
		return fmt.Errorf("pins: %s: %w", point, err)
	}
	if fs.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if err := unix.Mount("bpf", point, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0755"); err != nil {
		return fmt.Errorf("pins: mount the BPF file system on %s: %w", point, err)
	}
	return nil
}

// Remove removes dir and all that is pinned in it; the kernel frees what nothing else refers to. A directory
// that is not there is no error. The parent, which devices share, goes with the last of them.
func Remove(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("pins: %w", err)
	}
	err := os.Remove(filepath.Dir(dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("pins: %w", err)
	}
	return nil
}
