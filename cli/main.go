// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command ashlar is the operator's command: it sets a device up, configures it by gNMI and shows what it does.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ashlar-nos/ashlar/cli/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command.Run(ctx, command.Process(), os.Args[1:])
	stop()
	os.Exit(code)
}
