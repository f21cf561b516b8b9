// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package intent

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
)

// ethernet is the one interface type that can be configured (iana-if-type).
const ethernet = "ethernetCsmacd"

// Parse reads the configuration of the interface with the name. The error is a *Refusal.
func Parse(name string, raw []byte) (Interface, error) {
	d := &document{}
	root := d.open(Path(name), raw)
	i := d.interfaceNamed(name, root)
	d.finish(root)
	if d.refusal != nil {
		return Interface{}, d.refusal
	}
	return i, nil
}

func (d *document) interfaceNamed(name string, root node) Interface {
	i := Interface{Name: name, Enabled: true}
	d.sameKey(root, "name", name)
	if c, ok := d.child(root, "config"); ok {
		d.sameKey(c, "name", name)
		d.kind(c)
		i.MTU, _ = d.number(c, "mtu", 16)
		i.Description = d.text(c, "description")
		i.Enabled = d.flag(c, "enabled", true)
		d.finish(c)
	}
	if s, ok := d.child(root, "subinterfaces"); ok {
		for _, e := range d.entries(s, "subinterface", "index") {
			i.Subinterface = d.subinterface(e)
		}
		d.finish(s)
	}
	return i
}

// sameKey refuses a key leaf that contradicts the entry it is in.
func (d *document) sameKey(n node, name, want string) {
	if v, ok := n.take(name); ok && scalar(v) != want {
		d.fail(n.path+"/"+name, "the value %q differs from the key %q", scalar(v), want)
	}
}

func (d *document) kind(c node) {
	t := d.text(c, "type")
	if _, bare, qualified := strings.Cut(t, ":"); qualified {
		t = bare
	}
	if t != "" && t != ethernet {
		d.fail(c.path+"/type", "the type %q is not supported; interfaces are iana-if-type:%s", t, ethernet)
	}
}

func (d *document) subinterface(e node) *Subinterface {
	s := &Subinterface{Enabled: true}
	index, _ := d.number(e, "index", 32)
	if index != 0 && d.refusal == nil {
		d.refusal = Refuse(e.path, codes.Unimplemented, "subinterface %d: only subinterface 0 is supported, VLAN subinterfaces are not", index)
	}
	if c, ok := d.child(e, "config"); ok {
		d.sameKey(c, "index", "0")
		s.Description = d.text(c, "description")
		s.Enabled = d.flag(c, "enabled", true)
		d.finish(c)
	}
	s.V4 = d.family(e, "ipv4", netip.Addr.Is4)
	s.V6 = d.family(e, "ipv6", func(a netip.Addr) bool { return a.Is6() && !a.Is4In6() && a.Zone() == "" })
	d.finish(e)
	return s
}

func (d *document) family(e node, name string, member func(netip.Addr) bool) *Family {
	n, ok := d.child(e, name)
	if !ok {
		return nil
	}
	f := &Family{Enabled: true}
	if c, ok := d.child(n, "config"); ok {
		f.Enabled = d.flag(c, "enabled", true)
		d.finish(c)
	}
	if c, ok := d.child(n, "addresses"); ok {
		for _, a := range d.entries(c, "address", "ip") {
			d.addAddress(f, a, name, member)
		}
		d.finish(c)
	}
	if c, ok := d.child(n, "neighbors"); ok {
		for _, a := range d.entries(c, "neighbor", "ip") {
			d.addNeighbor(f, a, name, member)
		}
		d.finish(c)
	}
	d.finish(n)
	return f
}

// ip reads the key of an address or neighbour.
func (d *document) ip(n node, familyName string, member func(netip.Addr) bool) (string, netip.Addr) {
	text := d.text(n, "ip")
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil || !member(ip):
		d.fail(n.path, "%q is no %s address", text, strings.Replace(familyName, "ip", "IP", 1))
	case ip.IsMulticast():
		d.fail(n.path, "%s is a multicast address", ip)
	case ip.IsLoopback():
		d.fail(n.path, "%s is a loopback address", ip)
	case ip.IsUnspecified():
		d.fail(n.path, "%s is the unspecified address", ip)
	case ip.Is4() && (ip.As4()[0] == 0 || ip.As4()[0] >= 240):
		d.fail(n.path, "%s is in a range reserved by RFC 1122", ip)
	}
	return text, ip
}

func (d *document) addAddress(f *Family, n node, familyName string, member func(netip.Addr) bool) {
	text, ip := d.ip(n, familyName, member)
	bits, given := 0, false
	if c, ok := d.child(n, "config"); ok {
		d.sameKey(c, "ip", text)
		bits, given = d.number(c, "prefix-length", 8)
		d.finish(c)
	}
	d.finish(n)
	if d.refusal != nil {
		return
	}
	a := Address{Text: text, Prefix: netip.PrefixFrom(ip, bits)}
	if !given {
		d.fail(n.path+"/config/prefix-length", "the address %s needs a prefix length", ip)
		return
	}
	if reason := unusable(a.Prefix); reason != "" {
		d.fail(n.path+"/config/prefix-length", "%s", reason)
	}
	if slices.ContainsFunc(f.Addresses, func(b Address) bool { return b.Prefix.Addr() == ip }) {
		d.fail(n.path, "the address %s is given twice", ip)
	}
	f.Addresses = append(f.Addresses, a)
}

func (d *document) addNeighbor(f *Family, n node, familyName string, member func(netip.Addr) bool) {
	text, ip := d.ip(n, familyName, member)
	hardware, where := "", n.path+"/config/link-layer-address"
	if c, ok := d.child(n, "config"); ok {
		d.sameKey(c, "ip", text)
		hardware = d.text(c, "link-layer-address")
		d.finish(c)
	}
	d.finish(n)
	if d.refusal != nil {
		return
	}
	mac, err := net.ParseMAC(hardware)
	switch {
	case hardware == "":
		d.fail(where, "the neighbor %s needs a link-layer address", ip)
	case err != nil || len(mac) != 6:
		d.fail(where, "%q is no MAC address of 6 bytes, such as 02:00:00:00:00:01", hardware)
	case mac[0]&1 != 0:
		d.fail(where, "%s is a group address; a neighbor has an individual one", mac)
	case slices.Max(mac) == 0:
		d.fail(where, "%s is no station's address", mac)
	case slices.ContainsFunc(f.Addresses, func(a Address) bool { return a.Prefix.Addr() == ip }):
		d.fail(n.path, "%s is this interface's own address, not a neighbor's", ip)
	case slices.ContainsFunc(f.Neighbors, func(b Neighbor) bool { return b.Address == ip }):
		d.fail(n.path, "the neighbor %s is given twice", ip)
	}
	f.Neighbors = append(f.Neighbors, Neighbor{Text: text, Address: ip, Hardware: mac})
}
