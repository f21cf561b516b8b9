// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Management is the link between the root namespace and the device's management port.
type Management struct {
	// Interface is its name in the root namespace.
	Interface string
	// Root and Device are the addresses of its ends.
	Root, Device netip.Prefix
}

// linkLocal is RFC 3927's range. Its first and last 256 addresses are reserved, and clouds serve
// metadata in 169.254.169.0/24, so those are left alone.
const (
	linkLocal     = 169<<24 | 254<<16
	firstSubnet   = 256 / 4
	lastSubnet    = (1<<16 - 256) / 4
	metadataFirst = 169 * 256 / 4
	metadataLast  = 170 * 256 / 4
)

// ManagementInterface is the name of the root namespace's end for a lab.
func ManagementInterface(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "ashm" + hex.EncodeToString(sum[:4])
}

// subnets yields every /30 once, beginning at a place that the name decides, so that labs rarely meet.
func subnets(name string, yield func(root, device netip.Prefix) bool) {
	sum := sha256.Sum256([]byte(name))
	const count = lastSubnet - firstSubnet
	start := binary.BigEndian.Uint32(sum[4:8]) % count
	for i := range uint32(count) {
		subnet := firstSubnet + (start+i)%count
		if subnet >= metadataFirst && subnet < metadataLast {
			continue
		}
		base := uint32(linkLocal) + subnet*4
		if !yield(prefix30(base+1), prefix30(base+2)) {
			return
		}
	}
}

func prefix30(address uint32) netip.Prefix {
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], address)
	return netip.PrefixFrom(netip.AddrFrom4(raw), 30)
}

// connectManagement makes the link. Labs that start at once take turns, so that none takes another's subnet.
func connectManagement(name string, device *netns.Namespace) (Management, error) {
	turn, err := os.Open(netns.Directory)
	if err != nil {
		return Management{}, err
	}
	defer turn.Close() // and with it the lock
	if err := unix.Flock(int(turn.Fd()), unix.LOCK_EX); err != nil {
		return Management{}, fmt.Errorf("wait for other labs: %w", err)
	}
	m := Management{Interface: ManagementInterface(name)}
	if m.Root, m.Device, err = freeSubnet(name); err != nil {
		return Management{}, err
	}
	pair := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: m.Interface},
		PeerName:      ManagementPort,
		PeerNamespace: netlink.NsFd(device.Descriptor()),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return Management{}, fmt.Errorf("make management link: %w", err)
	}
	root, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return Management{}, err
	}
	defer root.Close()
	inside, err := device.Netlink()
	if err != nil {
		return Management{}, err
	}
	defer inside.Close()
	if err := raise(root, m.Interface, m.Root); err != nil {
		return Management{}, err
	}
	return m, raise(inside, ManagementPort, m.Device)
}

func raise(handle *netlink.Handle, name string, address netip.Prefix) error {
	link, err := handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("management link: %w", err)
	}
	if err := handle.AddrAdd(link, &netlink.Addr{IPNet: ipNet(address)}); err != nil {
		return fmt.Errorf("management address %s: %w", address, err)
	}
	return handle.LinkSetUp(link)
}

// freeSubnet finds a /30 that no route or address of the root namespace covers or lies in. Routes as wide
// as the whole range or wider do not count: ours is more specific.
func freeSubnet(name string) (root, device netip.Prefix, err error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return root, device, fmt.Errorf("list routes: %w", err)
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return root, device, fmt.Errorf("list addresses: %w", err)
	}
	var taken []netip.Prefix
	for _, route := range routes {
		if route.Dst != nil {
			taken = append(taken, prefixOf(route.Dst.IP, route.Dst.Mask))
		}
	}
	for _, address := range addresses {
		taken = append(taken, prefixOf(address.IP, address.Mask))
	}
	found := false
	subnets(name, func(r, d netip.Prefix) bool {
		for _, other := range taken {
			if other.Bits() > 16 && other.Overlaps(r) {
				return true
			}
		}
		root, device, found = r, d, true
		return false
	})
	if !found {
		return root, device, errors.New("no free /30 left in 169.254.0.0/16 for the management link")
	}
	return root, device, nil
}

func prefixOf(ip, mask []byte) netip.Prefix {
	address, _ := netip.AddrFromSlice(ip)
	bits := 0
	for _, b := range mask {
		for ; b != 0; b <<= 1 {
			bits++
		}
	}
	return netip.PrefixFrom(address.Unmap(), bits)
}

// findManagement reads back what connectManagement made.
func findManagement(name string, device *netns.Namespace) (Management, error) {
	m := Management{Interface: ManagementInterface(name)}
	root, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return m, err
	}
	defer root.Close()
	inside, err := device.Netlink()
	if err != nil {
		return m, err
	}
	defer inside.Close()
	if m.Root, err = addressOf(root, m.Interface); err != nil {
		return m, err
	}
	m.Device, err = addressOf(inside, ManagementPort)
	return m, err
}

func addressOf(handle *netlink.Handle, name string) (netip.Prefix, error) {
	link, err := handle.LinkByName(name)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("management link %s: %w", name, err)
	}
	addresses, err := handle.AddrList(link, netlink.FAMILY_V4)
	if err != nil || len(addresses) == 0 {
		return netip.Prefix{}, fmt.Errorf("management link %s has no address: %w", name, err)
	}
	return prefixOf(addresses[0].IP, addresses[0].Mask), nil
}

func removeManagement(name string) error {
	link, err := netlink.LinkByName(ManagementInterface(name))
	var gone netlink.LinkNotFoundError
	switch {
	case errors.As(err, &gone):
		return nil
	case err != nil:
		return err
	}
	return netlink.LinkDel(link)
}
