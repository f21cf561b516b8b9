// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package proof

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// nudge is how often a watch on a file looks whether it shall stop.
const nudge = 20 * time.Millisecond

// awaitRecords returns true as soon as a journal was written to n times from now on, or false when stop is closed.
// A record is one write: the journal's promise.
func awaitRecords(journal string, n int, stop <-chan struct{}) (bool, error) {
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return false, fmt.Errorf("watch %s: %w", journal, err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, journal, unix.IN_MODIFY); err != nil {
		return false, fmt.Errorf("watch %s: %w", journal, err)
	}
	buffer := make([]byte, unix.SizeofInotifyEvent) // a watched file's event has no name: one event each read
	size, err := length(journal)
	if err != nil {
		return false, err
	}
	for {
		select {
		case <-stop:
			return false, nil
		default:
		}
		fds := []unix.PollFd{{Fd: int32(watch), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, int(nudge.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
			return false, err
		}
		if _, err := unix.Read(watch, buffer); err != nil {
			continue
		}
		now, err := length(journal)
		if err != nil {
			return false, err
		}
		if now > size {
			size = now
			if n--; n == 0 {
				return true, nil
			}
		}
	}
}

func length(file string) (int64, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
