// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Limit is the size in bytes at which a log is rotated. One older part is kept, so a component's logs
// take at most about twice as much.
const Limit = 16 << 20

// previous is where the older part goes.
func previous(file string) string { return file + ".1" }

// Open opens a component's log for appending. The file belongs to root; the descriptor outlives both the
// process that gets it and the supervisor.
func Open(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return f, nil
}

// Rotate bounds every log in dir: one that has grown past limit is copied to its older part and cut to
// nothing. Writers keep their descriptors, which append, so nothing needs to be told to them; lines
// written between the copy and the cut are lost.
func Rotate(dir string, limit int64) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return err
	}
	var all error
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() < limit {
			continue
		}
		all = errors.Join(all, copyAndCut(f))
	}
	return all
}

func copyAndCut(file string) error {
	in, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(previous(file), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	_, copied := io.Copy(out, in)
	if err := errors.Join(copied, out.Close()); err != nil {
		// A full disk is relieved by the cut, not by keeping everything.
		os.Remove(previous(file))
	}
	if err := in.Truncate(0); err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	return nil
}
