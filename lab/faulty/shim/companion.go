// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// activated is how the kit says that the component has its token.
const activated = `"msg":"activated"`

// companion passes on what the process logs, and does what it is ordered to when the time has come. It ends with the process.
func companion(o orders) error {
	var strike <-chan time.Time
	begin := func() {
		if strike == nil {
			strike = time.After(o.after)
		}
	}
	if o.fromStart {
		begin()
	}
	lines := make(chan bool)
	go pass(os.Stdin, os.Stderr, lines)
	for {
		select {
		case active, open := <-lines:
			if !open {
				return nil // the process has ended by itself
			}
			if active {
				begin()
			}
		case <-strike:
			if err := act(o); err != nil {
				return err
			}
			strike = make(chan time.Time) // once
		}
	}
}

// pass copies lines at once and reports which says that the component is active. It closes the channel at the end.
func pass(from io.Reader, to io.Writer, lines chan<- bool) {
	defer close(lines)
	for r := bufio.NewReader(from); ; {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			_, _ = to.Write(line) // nothing is left to say it to
			lines <- bytes.Contains(line, []byte(activated))
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

func act(o orders) error {
	fmt.Fprintf(os.Stderr, "shim: %s %s after the activation, as this package is meant to\n", o.fault, o.after)
	switch o.fault {
	case "stall":
		return unix.Kill(o.watch, unix.SIGSTOP)
	case "leak":
		leak(o.watch)
	}
	return unix.Kill(o.watch, unix.SIGKILL)
}

// leak takes memory until the control group's limit ends a process; where there is none, until it has had most.
func leak(pid int) {
	const most, piece = 320 << 20, 4 << 20
	var kept [][]byte
	for range most / piece {
		b := make([]byte, piece)
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1 // a page that is not written to is not taken
		}
		kept = append(kept, b)
		time.Sleep(20 * time.Millisecond)
		if unix.Kill(pid, 0) != nil {
			return
		}
	}
	fmt.Fprintf(os.Stderr, "shim: has taken %d MiB and nobody minded\n", len(kept)*piece>>20)
}
