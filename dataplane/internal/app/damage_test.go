// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// damageMap fills the first megabytes of a pinned map, as a stray writer might.
func damageMap(t *testing.T, path string) {
	t.Helper()
	m, err := ebpf.LoadPinnedMap(path, nil)
	must(t, err)
	defer m.Close()
	b, err := unix.Mmap(m.FD(), 0, 4<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(b)
	for i := range b {
		b[i] = 0x5a
	}
}

// addVeth makes a veth pair inside the device.
func (d *device) addVeth(name string) {
	h, err := d.top.Device.Netlink()
	must(d.t, err)
	defer h.Close()
	must(d.t, h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}))
}
