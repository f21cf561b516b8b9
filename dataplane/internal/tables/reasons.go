// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tables

// reasonNames are part of the contract: they never change meaning.
var reasonNames = [ReasonCount]string{
	ReasonForwarded:                             "forwarded",
	routerReasonREASON_PUNT_ARP:                 "arp",
	routerReasonREASON_PUNT_VLAN:                "vlan",
	routerReasonREASON_PUNT_ETHERTYPE:           "ethertype",
	routerReasonREASON_PUNT_OTHER_HOST:          "other-host",
	routerReasonREASON_PUNT_LINK_GROUP:          "link-group",
	routerReasonREASON_PUNT_PORT_DISABLED:       "port-disabled",
	routerReasonREASON_PUNT_MULTICAST:           "multicast",
	routerReasonREASON_PUNT_BROADCAST:           "broadcast",
	routerReasonREASON_PUNT_LINK_LOCAL:          "link-local",
	routerReasonREASON_PUNT_OPTIONS:             "options",
	routerReasonREASON_PUNT_HOP_BY_HOP:          "hop-by-hop",
	routerReasonREASON_PUNT_TTL:                 "ttl-expired",
	routerReasonREASON_PUNT_LOCAL:               "local",
	routerReasonREASON_PUNT_NO_ROUTE:            "no-route",
	routerReasonREASON_PUNT_GLEAN:               "glean",
	routerReasonREASON_PUNT_UNRESOLVED:          "unresolved",
	routerReasonREASON_PUNT_TOO_BIG:             "too-big",
	routerReasonREASON_PUNT_CANARY:              "canary",
	routerReasonREASON_DROP_RUNT:                "runt",
	routerReasonREASON_DROP_BAD_HEADER:          "bad-header",
	routerReasonREASON_DROP_BAD_LENGTH:          "bad-length",
	routerReasonREASON_DROP_BAD_CHECKSUM:        "bad-checksum",
	routerReasonREASON_DROP_MARTIAN_SOURCE:      "martian-source",
	routerReasonREASON_DROP_MARTIAN_DESTINATION: "martian-destination",
	routerReasonREASON_DROP_ROUTE:               "route-drop",
	ReasonRedirect:                              "redirect-failed",
}

// String names the reason as counters, logs and telemetry show it; empty for one that does not exist.
func (r routerReason) String() string {
	if r >= ReasonCount {
		return ""
	}
	return reasonNames[r]
}

// Dropped says whether packets of this reason were discarded, rather than forwarded or handed to the kernel.
func (r routerReason) Dropped() bool { return r >= ReasonFirstDrop && r < ReasonCount }
