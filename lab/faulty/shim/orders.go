// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// orders are the shim's own arguments, which stand before the program's.
type orders struct {
	fault string
	after time.Duration
	// fromStart: the clock runs at once.
	fromStart bool
	// watch is set for the companion: the process to act on.
	watch int
}

// parse splits the command line into the shim's orders and what is the program's.
func parse(args []string) (orders, []string, error) {
	var o orders
	for len(args) > 0 && strings.HasPrefix(args[0], "--fault") {
		name, value, _ := strings.Cut(args[0], "=")
		var err error
		switch name {
		case "--fault":
			o.fault = value
		case "--fault-after":
			o.after, err = time.ParseDuration(value)
		case "--fault-from":
			o.fromStart = value == "start"
		case "--fault-watch":
			o.watch, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("unknown order %s", name)
		}
		if err != nil {
			return o, nil, err
		}
		args = args[1:]
	}
	if !slices.Contains([]string{"crash", "crash-at-start", "hang", "stall", "leak"}, o.fault) {
		return o, nil, fmt.Errorf("unknown fault %q", o.fault)
	}
	return o, args, nil
}

// arguments are the orders for the companion of a process.
func (o orders) arguments(pid int) []string {
	out := []string{"--fault=" + o.fault, "--fault-after=" + o.after.String(), fmt.Sprintf("--fault-watch=%d", pid)}
	if o.fromStart {
		out = append(out, "--fault-from=start")
	}
	return out
}
