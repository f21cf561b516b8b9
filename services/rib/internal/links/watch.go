// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package links

import (
	"context"
	"log/slog"
	"net/netip"

	interfacesv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	"github.com/ashlar-nos/ashlar/services/kit/retry"
)

// Run follows the interfaces until ctx ends. While the interface manager is away the last known state
// stands; after its return what it does not name again is taken away.
func (l *Links) Run(ctx context.Context, log *slog.Logger, client interfacesv1.InterfacesClient) error {
	return retry.Forever(ctx, log, "watch the interfaces", func(ctx context.Context) error {
		return l.watch(ctx, client)
	})
}

func (l *Links) watch(ctx context.Context, client interfacesv1.InterfacesClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Watch(ctx, &interfacesv1.WatchRequest{})
	if err != nil {
		return err
	}
	named := map[string]bool{} // until synced
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		switch {
		case m.GetInterface() != nil:
			i := interfaceOf(m.GetInterface())
			if named != nil {
				named[i.Name] = true
			}
			l.Set(i)
		case m.GetSynced() != nil:
			l.Sync(named)
			named = nil
		case m.GetRemoved() != "":
			l.Remove(m.GetRemoved())
		}
	}
}

// interfaceOf reads the wire. Addresses that make no sense are left out.
func interfaceOf(w *interfacesv1.Interface) Interface {
	i := Interface{Name: w.GetName(), Up: w.GetUp()}
	for _, a := range w.GetAddresses() {
		addr, ok := netip.AddrFromSlice(a.GetAddress())
		if !ok || int(a.GetPrefixLength()) > addr.BitLen() {
			continue
		}
		i.Addresses = append(i.Addresses, netip.PrefixFrom(addr, int(a.GetPrefixLength())))
	}
	return i
}
