// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package resolve turns what an operator typed into an address to send to.
package resolve

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

const (
	// nameLimit bounds the time a name may take.
	nameLimit = 5 * time.Second
	// maxName is the longest domain name (RFC 1035).
	maxName = 253
)

// Error says what is wrong with a destination or source.
type Error struct{ reason string }

func (e *Error) Error() string { return e.reason }

func wrong(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// Route is where to send, and from where if that was said. Zones are interface indices: what the standard
// library knows of names may be a minute old.
type Route struct {
	Destination netip.Addr
	// Source is invalid when the routing chooses.
	Source netip.Addr
}

// Find returns the route. The errors are *Error.
func Find(ctx context.Context, destination, source string) (Route, error) {
	var r Route
	if source != "" {
		ip, err := netip.ParseAddr(source)
		if err != nil {
			return r, wrong("the source %q is no address", source)
		}
		if r.Source, err = zoned(ip.Unmap()); err != nil {
			return r, err
		}
	}
	all, err := candidates(ctx, destination)
	if err != nil {
		return r, err
	}
	for _, ip := range all {
		if ip = ip.Unmap(); !r.Source.IsValid() || ip.Is4() == r.Source.Is4() {
			if r.Destination, err = zoned(ip); err != nil {
				return r, err
			}
			return r, check(ip, r.Source)
		}
	}
	return r, wrong("%s has no address of the family of the source %s", destination, source)
}

// zoned puts the index in place of the name of an interface.
func zoned(ip netip.Addr) (netip.Addr, error) {
	if ip.Zone() == "" {
		return ip, nil
	}
	link, err := net.InterfaceByName(ip.Zone())
	if err != nil {
		return ip, wrong("%s: there is no interface %s", ip, ip.Zone())
	}
	return ip.WithZone(strconv.Itoa(link.Index)), nil
}

func check(ip, source netip.Addr) error {
	switch {
	case ip.Is6() && ip.IsLinkLocalUnicast() && ip.Zone() == "" && source.Zone() == "":
		return wrong("%s is a link-local address, which is on every link: say which interface, for example %s%%ge0", ip, ip)
	case ip.IsUnspecified():
		return wrong("%s is the unspecified address", ip)
	case ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return wrong("%s is not a single host's address", ip)
	}
	return nil
}

func candidates(ctx context.Context, destination string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(destination); err == nil {
		return []netip.Addr{ip}, nil
	}
	if destination == "" || len(destination) > maxName {
		return nil, wrong("the destination has 1 to %d bytes: an address or a name", maxName)
	}
	ctx, cancel := context.WithTimeout(ctx, nameLimit)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", destination)
	if err != nil || len(all) == 0 {
		return nil, wrong("%q is no address and no name that resolves: %v", destination, err)
	}
	return all, nil
}
