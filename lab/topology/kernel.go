// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// RouteByKernel makes the device an ordinary Linux router without Ashlar: addresses on its ports, routes
// to what is behind host B, the balanced prefixes by both links. It is the yardstick that the lab's own
// instruments are tested with and that benchmarks compare to.
func (t *Topology) RouteByKernel() error {
	for _, setting := range [][2]string{
		{"ipv4/ip_forward", "1"},
		{"ipv6/conf/all/forwarding", "1"},
		{"ipv4/conf/all/rp_filter", "0"},
		// Balance by ports as well as by addresses.
		{"ipv4/fib_multipath_hash_policy", "1"},
		{"ipv6/fib_multipath_hash_policy", "1"},
	} {
		if err := t.Device.Sysctl(setting[0], setting[1]); err != nil {
			return err
		}
	}
	handle, err := t.Device.Netlink()
	if err != nil {
		return err
	}
	defer handle.Close()
	for _, link := range Links() {
		if err := t.raisePort(handle, link); err != nil {
			return fmt.Errorf("port %s: %w", link.Port, err)
		}
	}
	return addRoutes(handle)
}

func (t *Topology) raisePort(handle *netlink.Handle, link Link) error {
	port, err := handle.LinkByName(link.Port)
	if err != nil {
		return err
	}
	for _, address := range []netip.Prefix{link.Port4, link.Port6} {
		if err := handle.AddrAdd(port, hostAddress(address)); err != nil {
			return fmt.Errorf("address %s: %w", address, err)
		}
	}
	if err := trustAddresses(t.Device, link.Port); err != nil {
		return err
	}
	if err := handle.LinkSetUp(port); err != nil {
		return err
	}
	return offloads(t.Device, link.Port)
}

func addRoutes(handle *netlink.Handle) error {
	ways := map[bool][]*netlink.NexthopInfo{}
	for _, link := range []Link{LinkB1, LinkB2} {
		port, err := handle.LinkByName(link.Port)
		if err != nil {
			return err
		}
		for _, host := range []netip.Prefix{link.Host4, link.Host6} {
			six := host.Addr().Is6()
			ways[six] = append(ways[six], &netlink.NexthopInfo{LinkIndex: port.Attrs().Index, Gw: host.Addr().AsSlice()})
		}
	}
	for _, prefix := range []netip.Prefix{Balanced4, Balanced6, Single4, Single6} {
		hops := ways[prefix.Addr().Is6()]
		if prefix == Single4 || prefix == Single6 {
			hops = hops[:1]
		}
		if err := handle.RouteAdd(&netlink.Route{Dst: ipNet(prefix), MultiPath: hops}); err != nil {
			return fmt.Errorf("route %s: %w", prefix, err)
		}
	}
	return nil
}
