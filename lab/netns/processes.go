// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Processes returns the ids of the processes that are in the namespace, this one excepted.
// It is a snapshot: a process that forks meanwhile may be missed.
func (n *Namespace) Processes() ([]int, error) {
	var own unix.Stat_t
	if err := unix.Fstat(int(n.file.Fd()), &own); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var other unix.Stat_t
		if unix.Stat("/proc/"+entry.Name()+"/ns/net", &other) != nil {
			continue // it ended
		}
		if other.Ino == own.Ino && other.Dev == own.Dev {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
