// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
)

const (
	// minMTU6 is the least MTU with which the kernel runs IPv6 (RFC 8200 §5).
	minMTU6 = 1280
	// minMTU and maxMTU bound the MTU of a link that does not exist yet.
	minMTU, maxMTU = 68, 65535
	// maxVethMTU is the largest MTU with which a veth carries native XDP: a page without headroom,
	// Ethernet header and the socket buffer's tail.
	maxVethMTU = 3506
)

// Judge holds what a configuration is judged against.
type Judge struct {
	Inventory func() (Inventory, error)
	// Known reports whether Ashlar has configured the interface before.
	Known func(name string) bool
	// Link reads a link; false when it does not exist.
	Link func(name string) (kernel.Link, bool, error)
	// Occupied returns the subnets in the kernel by the link's name.
	Occupied func() (map[string][]netip.Prefix, error)
}

// Judge decides whether the wanted interfaces may come into effect, given the names of those that
// change. The error is a *intent.Refusal.
func (j Judge) Judge(wanted map[string]intent.Interface, changed []string) error {
	for _, name := range changed {
		i, ok := wanted[name]
		if !ok {
			continue
		}
		// A list that cannot be read keeps nobody from taking an interface's configuration away.
		inventory, err := j.Inventory()
		if err != nil {
			return intent.Refuse(i.Path(), codes.FailedPrecondition, "%v", err)
		}
		if err := j.single(inventory, i); err != nil {
			return err
		}
	}
	return j.collisions(wanted, changed)
}

// Permit decides whether the interface may be configured at all. While the list of ports cannot be read, those
// that were configured before stay so: they carry traffic.
func (j Judge) Permit(i intent.Interface) error {
	inventory, err := j.Inventory()
	switch {
	case err == nil:
		return permit(inventory, i)
	case j.Known(i.Name):
		return nil
	}
	return intent.Refuse(i.Path(), codes.FailedPrecondition, "%v", err)
}

func permit(inventory Inventory, i intent.Interface) error {
	if reason := badName(i.Name); reason != "" {
		return intent.Refuse(i.Path()+"/name", codes.InvalidArgument, "%s", reason)
	}
	if reason := inventory.forbids(i.Name); reason != "" {
		return intent.Refuse(i.Path(), codes.InvalidArgument, "%s", reason)
	}
	return nil
}

func (j Judge) single(inventory Inventory, i intent.Interface) error {
	if err := permit(inventory, i); err != nil {
		return err
	}
	if len(i.Description) > kernel.MaxAlias || strings.ContainsRune(i.Description, 0) {
		return intent.Refuse(i.Path()+"/config/description", codes.InvalidArgument, "a description is at most %d bytes without a zero byte", kernel.MaxAlias)
	}
	link, exists, err := j.Link(i.Name)
	if err != nil {
		return intent.Refuse(i.Path(), codes.Internal, "the link cannot be read: %v", err)
	}
	if exists && !link.Ethernet() {
		return intent.Refuse(i.Path()+"/config/type", codes.InvalidArgument, "the link %s is no Ethernet link", i.Name)
	}
	if err := checkMTU(i, link, exists); err != nil {
		return err
	}
	if err := checkIPv6(i, link, exists); err != nil {
		return err
	}
	return checkNeighbors(i)
}

// badName says why the kernel would not take the name of a link.
func badName(name string) string {
	switch {
	case name == "" || len(name) >= unix.IFNAMSIZ:
		return "an interface's name has 1 to 15 bytes"
	case name == "." || name == ".." || strings.ContainsAny(name, "/: \t\r\n\v\f\x00"):
		return "an interface's name has no slash, colon or blank"
	}
	return ""
}

func checkMTU(i intent.Interface, link kernel.Link, exists bool) error {
	least, most := minMTU, maxMTU
	if exists {
		least = max(least, link.MinMTU)
		if link.MaxMTU > 0 {
			most = min(most, link.MaxMTU)
		}
		if link.Kind == "veth" {
			most = min(most, maxVethMTU)
		}
	}
	if i.MTU != 0 && (i.MTU < least || i.MTU > most) {
		return intent.Refuse(i.Path()+"/config/mtu", codes.InvalidArgument, "an MTU of %d is out of range: %s takes %d to %d", i.MTU, i.Name, least, most)
	}
	return nil
}

func checkIPv6(i intent.Interface, link kernel.Link, exists bool) error {
	first := slices.IndexFunc(i.Addresses(), func(a intent.Address) bool { return a.Prefix.Addr().Is6() })
	if first < 0 {
		return nil
	}
	mtu := i.MTU
	if mtu == 0 && exists {
		mtu = link.MTU
	}
	if mtu != 0 && mtu < minMTU6 {
		return intent.Refuse(i.Path()+"/config/mtu", codes.InvalidArgument, "IPv6 needs an MTU of at least %d (RFC 8200), %s has %d", minMTU6, i.Name, mtu)
	}
	if exists && link.IPv6Disabled {
		return intent.Refuse(i.AddressPath(i.Addresses()[first]), codes.FailedPrecondition,
			"IPv6 is switched off on %s; set net.ipv6.conf.%s.disable_ipv6 to 0", i.Name, i.Name)
	}
	return nil
}

// checkNeighbors refuses static neighbours that are not on the link. Every link has the link-local subnet of IPv6.
func checkNeighbors(i intent.Interface) error {
	for _, f := range i.Subinterface.Families() {
		for _, n := range f.Neighbors {
			on := func(a intent.Address) bool { return a.Prefix.Contains(n.Address) }
			if n.Address.Is6() && n.Address.IsLinkLocalUnicast() || slices.ContainsFunc(f.Addresses, on) {
				continue
			}
			return intent.Refuse(i.NeighborPath(n), codes.InvalidArgument,
				"the neighbor %s is in no subnet of %s, so it is not on that link; give %s an address of its subnet", n.Address, i.Name, i.Name)
		}
	}
	return nil
}
