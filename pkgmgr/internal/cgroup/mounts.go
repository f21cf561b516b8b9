// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mounts says where the host has its hierarchies.
type mounts struct {
	// v1 holds the mount point of each version 1 controller; v2 is that of version 2, "" if there is none.
	v1 map[string]string
	v2 string
}

// parseMounts reads proc_pid_mountinfo(5).
func parseMounts(mountinfo string) mounts {
	m := mounts{v1: map[string]string{}}
	for line := range strings.Lines(mountinfo) {
		before, after, found := strings.Cut(strings.TrimSpace(line), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !found || len(left) < 5 || len(right) < 3 {
			continue
		}
		point := left[4]
		switch right[0] {
		case "cgroup2":
			m.v2 = point
		case "cgroup":
			for _, option := range strings.Split(right[2], ",") {
				if slices.Contains(controllerNames(), option) {
					m.v1[option] = point
				}
			}
		}
	}
	return m
}

// offers reports whether version 2 has the controller.
func (m mounts) offers(controller string) bool {
	if m.v2 == "" {
		return false
	}
	b, err := os.ReadFile(filepath.Join(m.v2, "cgroup.controllers"))
	return err == nil && slices.Contains(strings.Fields(string(b)), controller)
}

// delegate enables the controllers for the children of every group from the version 2 root down to dir.
// A controller that cannot be enabled stays off, which is told by its limit not being there.
func (m mounts) delegate(dir string) {
	var chain []string
	for d := dir; strings.HasPrefix(d, m.v2); d = filepath.Dir(d) {
		chain = append(chain, d)
		if d == m.v2 {
			break
		}
	}
	slices.Reverse(chain)
	for _, d := range chain {
		for _, c := range controllerNames() {
			if m.offers(c) {
				os.WriteFile(filepath.Join(d, "cgroup.subtree_control"), []byte("+"+c), 0)
			}
		}
	}
}
