// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// memory changes the beginning of a pinned map behind the daemon's back.
func (d *device) memory(name string, size int, f func([]byte)) {
	d.t.Helper()
	m, err := ebpf.LoadPinnedMap(filepath.Join(d.pins(), name), nil)
	must(d.t, err)
	defer m.Close()
	b, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(d.t, err)
	defer unix.Munmap(b)
	f(b)
}

// addVeth makes a veth pair inside the device.
func (d *device) addVeth(name string) {
	h, err := d.top.Device.Netlink()
	must(d.t, err)
	defer h.Close()
	must(d.t, h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}))
}

// kernelRoutes waits until the kernel has exactly these routes of ours.
func (d *device) kernelRoutes(want ...netip.Prefix) {
	d.t.Helper()
	h, err := d.top.Device.Netlink()
	must(d.t, err)
	defer h.Close()
	ctx, cancel := context.WithTimeout(d.t.Context(), 10*time.Second)
	defer cancel()
	slices.SortFunc(want, netip.Prefix.Compare)
	for {
		var have []netip.Prefix
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			l, err := h.RouteListFiltered(family, &netlink.Route{Protocol: 97}, netlink.RT_FILTER_PROTOCOL)
			must(d.t, err)
			for _, r := range l {
				bits, _ := r.Dst.Mask.Size()
				a, _ := netip.AddrFromSlice(r.Dst.IP)
				have = append(have, netip.PrefixFrom(a, bits))
			}
		}
		slices.SortFunc(have, netip.Prefix.Compare)
		if slices.Equal(have, want) {
			return
		}
		if ctx.Err() != nil {
			d.t.Fatalf("the kernel has %v, want %v", have, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (d *device) sysctl(key string) (value string) {
	must(d.t, d.top.Device.Do(func() error {
		b, err := os.ReadFile("/proc/sys/net/" + key)
		value = strings.TrimSpace(string(b))
		return err
	}))
	return value
}

// expired sends a packet that dies at the router and returns who says so.
func (d *device) expired(to netip.Addr) netip.Addr {
	d.t.Helper()
	var c *icmp.PacketConn
	must(d.t, d.top.HostA.Do(func() (err error) {
		c, err = icmp.ListenPacket("ip4:icmp", "0.0.0.0")
		return err
	}))
	defer c.Close()
	must(d.t, c.IPv4PacketConn().SetTTL(1))
	must(d.t, c.SetDeadline(time.Now().Add(5*time.Second)))
	echo, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: 7}}).Marshal(nil)
	must(d.t, err)
	_, err = c.WriteTo(echo, &net.IPAddr{IP: to.AsSlice()})
	must(d.t, err)
	b := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(b)
		must(d.t, err)
		m, err := icmp.ParseMessage(1, b[:n])
		must(d.t, err)
		if m.Type == ipv4.ICMPTypeTimeExceeded {
			return netip.MustParseAddr(from.String())
		}
	}
}
