// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// transaction installs a package into an empty root with an empty database and returns how long the command took.
func transaction(ctx context.Context, file string) (took time.Duration, err error) {
	root, err := os.MkdirTemp("", "ashlar-plain-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(root)
	begin := time.Now()
	out, err := exec.CommandContext(ctx, "rpm", "--root", root, "--nodeps", "--nosignature", "-i", file).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("rpm -i: %w: %s", err, out)
	}
	return time.Since(begin), nil
}
