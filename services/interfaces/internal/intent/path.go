// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package intent

import (
	"net/netip"
	"strings"
)

// Path is an interface's place in the model.
func Path(name string) string { return "/interfaces/interface" + key("name", name) }

// SubinterfacePath is the place of an interface's subinterface 0.
func SubinterfacePath(name string) string { return Path(name) + "/subinterfaces/subinterface[index=0]" }

// FamilyPath is the place of IPv4 or IPv6 on an interface's subinterface 0, by any address of the family.
func FamilyPath(name string, ip netip.Addr) string { return familyPath(name, ip) }

func familyPath(name string, ip netip.Addr) string {
	if ip.Is4() {
		return SubinterfacePath(name) + "/ipv4"
	}
	return SubinterfacePath(name) + "/ipv6"
}

// ListKey writes one key of a list entry.
func ListKey(name, value string) string { return key(name, value) }

func key(name, value string) string {
	return "[" + name + "=" + strings.NewReplacer("\\", "\\\\", "]", "\\]").Replace(value) + "]"
}
