// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command shim stands in front of a component's real program and makes it misbehave. It becomes the real program, by exec, with
// the same process id, descriptors and environment, after it has started a companion that reads along what the
// program logs: when that says "activated", the clock starts to run.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	o, rest, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		os.Exit(2)
	}
	switch {
	case o.watch != 0:
		err = companion(o)
	case o.fault == "crash-at-start":
		fmt.Fprintln(os.Stderr, "shim: ends at once, as this package is meant to")
		os.Exit(1)
	case o.fault == "hang":
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		for { // a select without cases would be a deadlock to the runtime, which ends the program
			time.Sleep(time.Hour)
		}
	default:
		err = become(o, rest)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		os.Exit(1)
	}
}
