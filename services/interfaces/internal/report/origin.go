// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/reconcile"
)

// addressOrigin is where an address comes from, as openconfig-if-ip has it.
func addressOrigin(a kernel.Address, configured bool) string {
	switch {
	case configured:
		return "STATIC"
	case a.Prefix.Addr().Is6() && a.Flags&unix.IFA_F_TEMPORARY != 0:
		return "RANDOM"
	case a.Prefix.Addr().Is6() && a.Automatic():
		return "LINK_LAYER"
	case a.Automatic():
		return "DHCP"
	}
	return "OTHER"
}

// neighbor tells of a neighbour that is resolved.
func neighbor(out map[string]any, v *reconcile.View, n kernel.Neighbor) {
	const resolved = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_PERMANENT
	if n.State&resolved == 0 || len(n.Hardware) != 6 {
		return
	}
	text, origin := n.Address.String(), "DYNAMIC"
	if n.Permanent() {
		origin = "OTHER"
	}
	for _, c := range v.Intent.Neighbors() {
		if c.Address == n.Address {
			text, origin = c.Text, "STATIC"
		}
	}
	top := intent.FamilyPath(v.Intent.Name, n.Address) + "/neighbors/neighbor" + intent.ListKey("ip", text) + "/state/"
	out[top+"ip"] = text
	out[top+"link-layer-address"] = n.Hardware.String()
	out[top+"origin"] = origin
}
