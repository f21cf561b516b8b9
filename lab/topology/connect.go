// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// missing: the link went with its peer.
func missing(err error) bool { return errors.Is(err, unix.ENODEV) }

func raiseLoopback(namespace *netns.Namespace) error {
	handle, err := namespace.Netlink()
	if err != nil {
		return err
	}
	defer handle.Close()
	loopback, err := handle.LinkByName("lo")
	if err != nil {
		return err
	}
	return handle.LinkSetUp(loopback)
}

// connect makes one veth pair, each end born in its own namespace, and furnishes the host's end.
func (t *Topology) connect(link Link) error {
	host := t.Host(link)
	handle, err := host.Netlink()
	if err != nil {
		return err
	}
	defer handle.Close()
	pair := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: link.HostInterface},
		PeerName:      link.Port,
		PeerNamespace: netlink.NsFd(t.Device.Descriptor()),
	}
	if err := handle.LinkAdd(pair); err != nil {
		return fmt.Errorf("make veth pair: %w", err)
	}
	end, err := handle.LinkByName(link.HostInterface)
	if err != nil {
		return err
	}
	for _, address := range []netip.Prefix{link.Host4, link.Host6} {
		if err := handle.AddrAdd(end, hostAddress(address)); err != nil {
			return fmt.Errorf("address %s: %w", address, err)
		}
	}
	if err := trustAddresses(host, link.HostInterface); err != nil {
		return err
	}
	if err := handle.LinkSetUp(end); err != nil {
		return err
	}
	return offloads(host, link.HostInterface)
}

// trustAddresses leaves out duplicate address detection (RFC 4862, section 5.4), by which an interface has no
// usable link-local address, and so finds no neighbour, for its first second or two. Call it while the link is down.
func trustAddresses(namespace *netns.Namespace, name string) error {
	return namespace.Sysctl("ipv6/conf/"+name+"/accept_dad", "0")
}

func hostAddress(prefix netip.Prefix) *netlink.Addr {
	address := &netlink.Addr{IPNet: ipNet(prefix)}
	if prefix.Addr().Is6() {
		address.Flags = unix.IFA_F_NODAD // the pair is ours alone: usable at once
	}
	return address
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   prefix.Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
	}
}

// routeHosts sends everything to the device, and lets host B answer for what is behind it.
func (t *Topology) routeHosts() error {
	for _, namespace := range []*netns.Namespace{t.HostA, t.HostB} {
		// Packets come by either link whatever the way back is: no reverse path filter.
		if err := namespace.Sysctl("ipv4/conf/all/rp_filter", "0"); err != nil {
			return err
		}
		// A host whose link flaps has its addresses again, those of IPv6 too.
		if err := namespace.Sysctl("ipv6/conf/all/keep_addr_on_down", "1"); err != nil {
			return err
		}
	}
	if err := addDefaults(t.HostA, LinkA); err != nil {
		return fmt.Errorf("host A: %w", err)
	}
	if err := addDefaults(t.HostB, LinkB1); err != nil {
		return fmt.Errorf("host B: %w", err)
	}
	return addLocal(t.HostB, Balanced4, Balanced6, Single4, Single6)
}

func addDefaults(namespace *netns.Namespace, via Link) error {
	handle, err := namespace.Netlink()
	if err != nil {
		return err
	}
	defer handle.Close()
	out, err := handle.LinkByName(via.HostInterface)
	if err != nil {
		return err
	}
	for _, route := range []netlink.Route{
		{LinkIndex: out.Attrs().Index, Gw: via.Port4.Addr().AsSlice()},
		{LinkIndex: out.Attrs().Index, Gw: via.Port6.Addr().AsSlice()},
	} {
		if err := handle.RouteAdd(&route); err != nil {
			return fmt.Errorf("default route via %s: %w", route.Gw, err)
		}
	}
	return nil
}

func addLocal(namespace *netns.Namespace, prefixes ...netip.Prefix) error {
	handle, err := namespace.Netlink()
	if err != nil {
		return err
	}
	defer handle.Close()
	loopback, err := handle.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, prefix := range prefixes {
		route := &netlink.Route{
			LinkIndex: loopback.Attrs().Index,
			Dst:       ipNet(prefix),
			Table:     unix.RT_TABLE_LOCAL,
			Type:      unix.RTN_LOCAL,
			Scope:     netlink.SCOPE_HOST,
		}
		if err := handle.RouteAdd(route); err != nil {
			return fmt.Errorf("local route %s: %w", prefix, err)
		}
	}
	return nil
}
