// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"golang.org/x/sync/errgroup"

	"github.com/ashlar-nos/ashlar/bench/internal/router"
	"github.com/ashlar-nos/ashlar/lab/intent"
	"github.com/ashlar-nos/ashlar/lab/topology"
)

// routesEach is the number of static routes that one client moves from link to link.
const routesEach = 7

// change is the n-th Set of a client: every leaf of it differs from the one before.
func change(client, n int) (*gnmi.SetRequest, error) {
	var entries []string
	for _, port := range topology.Ports() {
		entries = append(entries, fmt.Sprintf("%s=client %d was here %d times", intent.Description(port), client, n))
	}
	link := []topology.Link{topology.LinkB1, topology.LinkB2}[n%2]
	for i := range routesEach {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64, byte(client), byte(i << 4)}), 28)
		entries = append(entries, fmt.Sprintf("%s=%s", intent.NextHop(prefix, "1"), link.Host4.Addr()))
	}
	return router.Request(entries...)
}

// rate lets clients call at once, each on its own leaves as far as there are, and returns calls a second.
func rate(ctx context.Context, to gnmi.GNMIClient, clients int, period time.Duration) (float64, error) {
	var calls atomic.Int64
	begin := time.Now()
	end := begin.Add(period)
	g, ctx := errgroup.WithContext(ctx)
	for client := range clients {
		g.Go(func() error {
			for n := 0; time.Now().Before(end); n++ {
				request, err := change(client+1, n)
				if err != nil {
					return err
				}
				if _, err := to.Set(ctx, request); err != nil {
					return err
				}
				calls.Add(1)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return float64(calls.Load()) / time.Since(begin).Seconds(), nil
}
