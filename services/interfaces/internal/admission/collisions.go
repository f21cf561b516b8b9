// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"maps"
	"net/netip"
	"slices"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
)

// collisions refuses a changed interface whose subnet overlaps that of another interface: the router
// could not tell on which link a host is. IPv6 link-local subnets are each link's own.
func (j Judge) collisions(wanted map[string]intent.Interface, changed []string) error {
	addressed := slices.DeleteFunc(slices.Clone(changed), func(n string) bool { return len(wanted[n].Configured()) == 0 })
	if len(addressed) == 0 {
		return nil
	}
	occupied, err := j.Occupied()
	if err != nil {
		return intent.Refuse("/interfaces", codes.Internal, "the kernel's addresses cannot be read: %v", err)
	}
	// What the kernel has on configured interfaces follows their configuration.
	maps.DeleteFunc(occupied, func(name string, _ []netip.Prefix) bool { _, ok := wanted[name]; return ok })
	for name, i := range wanted {
		for _, a := range i.Configured() {
			occupied[name] = append(occupied[name], a.Prefix)
		}
	}
	for _, name := range addressed {
		for _, a := range wanted[name].Configured() {
			if err := collide(wanted[name], a, occupied); err != nil {
				return err
			}
		}
	}
	return nil
}

func collide(i intent.Interface, a intent.Address, occupied map[string][]netip.Prefix) error {
	if a.Prefix.Addr().IsLinkLocalUnicast() && a.Prefix.Addr().Is6() {
		return nil
	}
	for _, other := range slices.Sorted(maps.Keys(occupied)) {
		if other == i.Name {
			continue
		}
		for _, p := range occupied[other] {
			switch {
			case p.Addr() == a.Prefix.Addr():
				return intent.Refuse(i.AddressPath(a), codes.InvalidArgument, "the address %s is already in use on %s", p.Addr(), other)
			case p.Masked().Overlaps(a.Prefix.Masked()):
				return intent.Refuse(i.AddressPath(a), codes.InvalidArgument, "the subnet %s overlaps %s on %s", a.Prefix.Masked(), p.Masked(), other)
			}
		}
	}
	return nil
}
