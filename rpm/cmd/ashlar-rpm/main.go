// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command ashlar-rpm packs components, makes repositories and keys, and checks packages as a device does.
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
	err := command.New().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ashlar-rpm:", err)
		os.Exit(1)
	}
}
