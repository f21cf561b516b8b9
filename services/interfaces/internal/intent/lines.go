// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package intent

import (
	"fmt"
	"strconv"
)

// Lines says, one a line, what the interface makes of the kernel: its settings, its addresses and its static
// neighbours. Two interfaces that make the same have the same lines, however they are configured.
func (i Interface) Lines() []string {
	mtu := "as found"
	if i.MTU != 0 {
		mtu = strconv.Itoa(i.MTU)
	}
	lines := []string{fmt.Sprintf("%s enabled %t, mtu %s, description %q", i.Name, i.Enabled, mtu, i.Description)}
	for _, a := range i.Addresses() {
		lines = append(lines, fmt.Sprintf("%s address %s", i.Name, a.Prefix))
	}
	for _, n := range i.Neighbors() {
		lines = append(lines, fmt.Sprintf("%s neighbor %s %s", i.Name, n.Address, n.Hardware))
	}
	return lines
}
