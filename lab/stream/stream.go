// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package stream sends sequence-numbered UDP flows through a router and counts what comes out, without
// trusting the router in any way.
//
// A Generator makes whole frames in the kernel and puts them on a host's link as if the host had sent
// them; a Meter is an XDP program at the far host that checks each frame's address, checksums and
// sequence and then drops it. Compare brings both sides together. Both run at millions of packets a
// second on one core; neither depends on sockets, whose buffers would lose packets of their own.
//
// Flows are numbered in the order they are given, those of IPv4 first.
package stream

import (
	"fmt"
	"net/netip"
	"time"
)

// Flow is one UDP flow. Both addresses are of one family.
type Flow struct {
	Source, Destination netip.AddrPort
}

// Ports of the flows that Spread makes: the destination's, and the first source's.
const (
	destinationPort = 7077
	firstPort       = 40000
)

// Spread makes n flows from one address to the addresses of a prefix, one each, beginning behind its first.
func Spread(source netip.Addr, destinations netip.Prefix, n int) []Flow {
	flows := make([]Flow, n)
	address := destinations.Masked().Addr()
	for i := range flows {
		address = address.Next()
		flows[i] = Flow{
			Source:      netip.AddrPortFrom(source, uint16(firstPort+i)),
			Destination: netip.AddrPortFrom(address, destinationPort),
		}
	}
	return flows
}

// maxLinks is how many links a meter can listen on; the BPF side has the same arrays.
const maxLinks = len(meterTally{}.ByLink)

// Tally is what arrived of one flow.
type Tally struct {
	// Highest is the highest sequence seen; sequences begin with 1.
	Highest uint64
	// Received counts all frames but the damaged ones; ByLink the same for each link.
	Received uint64
	ByLink   [maxLinks]uint64
	// Reordered arrived after a higher sequence; Duplicated had arrived before; Stale are so late that
	// nobody can tell which of the two they are.
	Reordered, Duplicated, Stale uint64
	// Damaged had a wrong checksum or were not addressed to the link they arrived on.
	Damaged uint64
	// Latency is the sum over all received, from generation to arrival.
	Latency, LongestLatency time.Duration
	// LongestSilence is the longest time between two arrivals.
	LongestSilence time.Duration
}

// Unique counts the sequences that certainly arrived.
func (t Tally) Unique() uint64 { return t.Received - t.Duplicated - t.Stale }

// Totals is the outcome of a stream.
type Totals struct {
	Sent, Received, Lost         uint64
	Reordered, Duplicated, Stale uint64
	Damaged                      uint64
	ByLink                       [maxLinks]uint64
	MeanLatency, LongestLatency  time.Duration
	LongestSilence               time.Duration
}

// Compare adds up flows: what was sent of each and what arrived. A sequence that was sent and did not
// arrive is lost; one that may have arrived (Stale) counts as lost too.
func Compare(sent []uint64, arrived []Tally) (total Totals) {
	var latency time.Duration
	for i, n := range sent {
		t := arrived[i]
		total.Sent += n
		total.Received += t.Received
		if unique := t.Unique(); unique < n {
			total.Lost += n - unique
		}
		total.Reordered += t.Reordered
		total.Duplicated += t.Duplicated
		total.Stale += t.Stale
		total.Damaged += t.Damaged
		for link, count := range t.ByLink {
			total.ByLink[link] += count
		}
		latency += t.Latency
		total.LongestLatency = max(total.LongestLatency, t.LongestLatency)
		total.LongestSilence = max(total.LongestSilence, t.LongestSilence)
	}
	if total.Received > 0 {
		total.MeanLatency = latency / time.Duration(total.Received)
	}
	return total
}

// Clean is nil if every frame arrived once, intact and in order.
func (t Totals) Clean() error {
	if t.Lost+t.Reordered+t.Duplicated+t.Stale+t.Damaged == 0 {
		return nil
	}
	return fmt.Errorf("of %d packets sent %d were lost, %d reordered, %d duplicated, %d came too late to tell, %d were damaged",
		t.Sent, t.Lost, t.Reordered, t.Duplicated, t.Stale, t.Damaged)
}
