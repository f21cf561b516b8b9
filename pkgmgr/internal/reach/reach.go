// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package reach checks that a component's user can get to the files it needs. Devices are often started
// below a private directory, where every component would fail in its own, obscure way.
package reach

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// Directories checks that the user can enter every directory, as the kernel decides it (access lists
// included), and names the first parent that is closed.
func Directories(uid uint32, dirs ...string) error {
	result := make(chan error, 1)
	go func() {
		// The identity for file access is a thread's own; the thread ends with the goroutine.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			result <- Directories(uid, dirs...) // the main thread never ends: held, so that another one runs
			runtime.UnlockOSThread()
			return
		}
		result <- asUser(uid, dirs)
	}()
	return <-result
}

func asUser(uid uint32, dirs []string) error {
	unix.Setfsgid(int(uid))
	unix.Setfsuid(int(uid))
	for _, dir := range dirs {
		for _, d := range parents(dir) {
			// A path that ends in "/." asks for the right to search d, and follows symbolic links as all will.
			if _, err := os.Stat(d + "/."); err != nil {
				return fmt.Errorf("components run as users of their own (here %d) and cannot get to %s: %w; choose a place that all may enter, or run `chmod o+x %s`", uid, dir, err, d)
			}
		}
	}
	return nil
}

// parents lists the directories on the way to dir, from the root on.
func parents(dir string) []string {
	var out []string
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		out = append(out, d)
		if d == filepath.Dir(d) {
			break
		}
	}
	slices.Reverse(out)
	return out
}
