// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// capabilities are those that a component may ask for by name, capabilities(7): what the kernel
// asks for to program BPF, links and addresses, the clock and the host name, and no more.
func capabilities() map[string]uintptr {
	return map[string]uintptr{
		"CAP_BPF":              unix.CAP_BPF,
		"CAP_DAC_READ_SEARCH":  unix.CAP_DAC_READ_SEARCH,
		"CAP_IPC_LOCK":         unix.CAP_IPC_LOCK,
		"CAP_KILL":             unix.CAP_KILL,
		"CAP_NET_ADMIN":        unix.CAP_NET_ADMIN,
		"CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
		"CAP_NET_RAW":          unix.CAP_NET_RAW,
		"CAP_PERFMON":          unix.CAP_PERFMON,
		"CAP_SYSLOG":           unix.CAP_SYSLOG,
		"CAP_SYS_ADMIN":        unix.CAP_SYS_ADMIN,
		"CAP_SYS_BOOT":         unix.CAP_SYS_BOOT,
		"CAP_SYS_NICE":         unix.CAP_SYS_NICE,
		"CAP_SYS_RESOURCE":     unix.CAP_SYS_RESOURCE,
		"CAP_SYS_TIME":         unix.CAP_SYS_TIME,
	}
}

// Capabilities turns names into numbers.
func Capabilities(names []string) ([]uintptr, error) {
	known := capabilities()
	out := make([]uintptr, 0, len(names))
	for _, n := range names {
		c, ok := known[n]
		if !ok {
			return nil, fmt.Errorf("capability %q is not one that a component may have", n)
		}
		out = append(out, c)
	}
	return out, nil
}
