// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"net/netip"
	"strings"
)

// canonicalOf is how a type with more than one way to write a value writes it, nil for types with one. IPv4
// addresses have one form only, their patterns see to that.
func canonicalOf(typedef string) func(string) string {
	switch typedef[strings.IndexByte(typedef, ':')+1:] {
	case "ipv6-address":
		return canonicalAddress
	case "ipv6-prefix":
		return canonicalPrefix
	}
	return nil
}

// canonicalAddress is the form of RFC 5952 section 4. IPv4-mapped addresses stay hexadecimal: the mixed form of
// its section 5 is not in the model's type.
func canonicalAddress(text string) string {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return text
	case a.Is4In6():
		b := a.As16()
		return fmt.Sprintf("::ffff:%x:%x", uint16(b[12])<<8|uint16(b[13]), uint16(b[14])<<8|uint16(b[15]))
	}
	return a.String()
}

// canonicalPrefix leaves bits beyond the length alone: whether they may be set is the owner's to say.
func canonicalPrefix(text string) string {
	address, length, _ := strings.Cut(text, "/")
	return canonicalAddress(address) + "/" + length
}
