// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command ashlar-compat tests what components rely on of each other.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/ashlar-nos/ashlar/compat-tests/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := command.New().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ashlar-compat:", err)
		os.Exit(1)
	}
}
