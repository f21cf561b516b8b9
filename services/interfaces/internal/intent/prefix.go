// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package intent

import (
	"fmt"
	"net/netip"
)

// unusable says why an interface cannot have the address with the prefix length; "" when it can.
func unusable(p netip.Prefix) string {
	ip, bits := p.Addr(), p.Bits()
	if bits < 1 || bits > ip.BitLen() {
		return fmt.Sprintf("a prefix length of %s is 1 to %d", familyName(ip), ip.BitLen())
	}
	// The last two lengths are point-to-point subnets and single addresses (RFC 3021, RFC 6164).
	if bits >= ip.BitLen()-1 {
		return ""
	}
	if ip == p.Masked().Addr() {
		if ip.Is6() {
			return fmt.Sprintf("%s is the subnet-router anycast address of %s (RFC 4291 §2.6.1); choose another host part", ip, p)
		}
		return fmt.Sprintf("%s is the network address of %s; choose another host part", ip, p)
	}
	if ip.Is4() && !p.Contains(ip.Next()) {
		return fmt.Sprintf("%s is the broadcast address of %s; choose another host part", ip, p.Masked())
	}
	return ""
}

func familyName(ip netip.Addr) string {
	if ip.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
