// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command ashlar-lab builds networks in namespaces with an Ashlar device in them: for the demo, for trying
// things out, for tests and benchmarks.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/ashlar-nos/ashlar/lab/command"
	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	err := command.New().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ashlar-lab:", err)
		os.Exit(1)
	}
}
