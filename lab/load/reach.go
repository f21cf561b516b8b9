// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"net/netip"
	"time"

	"github.com/ashlar-nos/ashlar/lab/instance"
	"github.com/ashlar-nos/ashlar/lab/ping"
	"github.com/ashlar-nos/ashlar/lab/topology"
)

// Reach waits until host B answers host A by every link and every route, so that all neighbours are known. each, if
// not nil, is told of each answer.
func Reach(ctx context.Context, lab *instance.Lab, each func(netip.Addr, time.Duration)) error {
	for _, address := range []netip.Addr{
		topology.LinkB1.Host4.Addr(), topology.LinkB1.Host6.Addr(),
		topology.LinkB2.Host4.Addr(), topology.LinkB2.Host6.Addr(),
		topology.Balanced4.Addr().Next(), topology.Balanced6.Addr().Next(),
		topology.Single4.Addr().Next(), topology.Single6.Addr().Next(),
	} {
		trip, err := ping.Until(ctx, lab.Topology.HostA, address)
		if err != nil {
			return err
		}
		if each != nil {
			each(address, trip)
		}
	}
	return nil
}
