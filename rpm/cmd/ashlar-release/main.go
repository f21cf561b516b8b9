// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command ashlar-release builds the components of this tree and of its released versions, and packs and releases them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/ashlar-nos/ashlar/rpm/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := command.NewRelease().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ashlar-release:", err)
		os.Exit(1)
	}
}
