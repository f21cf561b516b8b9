// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// plug makes a link of the device to nowhere: both ends are in its namespace, as a cable to a port that nobody uses.
func (r *rig) plug(t *testing.T, port string) {
	t.Helper()
	handle, err := r.Topology.Device.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	far := "far-" + port
	if err := handle.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: port}, PeerName: far}); err != nil {
		t.Fatal(err)
	}
	peer, err := handle.LinkByName(far)
	if err != nil {
		t.Fatal(err)
	}
	if err := handle.LinkSetUp(peer); err != nil {
		t.Fatal(err)
	}
}

// hasAddress waits until the kernel has an address on a port.
func (r *rig) hasAddress(t *testing.T, port, address string) {
	t.Helper()
	until(t, port, func(context.Context) error {
		out, err := r.Topology.Device.Output(exec.Command("ip", "-o", "addr", "show", "dev", port))
		if err == nil && !strings.Contains(string(out), " "+address+" ") {
			err = fmt.Errorf("has no %s: %s", address, out)
		}
		return err
	})
}
