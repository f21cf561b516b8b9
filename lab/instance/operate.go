// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package instance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Operate runs `ashlar` on the device as an operator does, and returns all that it printed.
func (l *Lab) Operate(ctx context.Context, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, l.CLI(), arguments...)
	cmd.Env = append(os.Environ(), "ASHLAR_SOCKET="+l.Socket(), "ASHLAR_ROOT=", "GNMI_ADDR=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("ashlar %s: %w", strings.Join(arguments, " "), err)
	}
	return string(out), nil
}
