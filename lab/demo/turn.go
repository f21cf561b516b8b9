// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ashlar-nos/ashlar/lab/instance"
	"golang.org/x/sys/unix"
)

// takeTurn makes this the only demo of the tree until the file is closed, and takes away what one that
// was killed left behind.
func takeTurn(build string) (*os.File, error) {
	directory := filepath.Join(build, "lab")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	turn, err := os.OpenFile(filepath.Join(directory, "demo.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(turn.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another demo of this tree is running: %w", err), turn.Close())
	}
	err = instance.Down(context.Background(), build, labName)
	if err != nil && !errors.Is(err, instance.ErrDown) {
		return nil, errors.Join(fmt.Errorf("take away what an earlier demo left: %w", err), turn.Close())
	}
	return turn, nil
}
