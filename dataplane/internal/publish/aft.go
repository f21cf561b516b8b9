// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"errors"
	"fmt"
	"time"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
)

const afts = "/network-instances/network-instance[name=DEFAULT]/afts"

var errEnough = errors.New("enough routes")

// table publishes the forwarding table as packets see it, up to the limit.
func (p *Publisher) table(at time.Time) {
	b := aft{updates: map[string]any{}, indexes: map[string]uint64{}}
	n := 0
	err := p.engine.Routes(true, true, func(routes []engine.Route) error {
		for _, r := range routes {
			if n == routeLimit {
				return errEnough
			}
			b.route(r)
			n++
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		p.log.Warn("the forwarding table cannot be read", "err", err)
		return
	}
	total := n
	if n == routeLimit {
		total = max(n, p.engine.RouteCount())
	}
	p.published.Store(int64(n))
	p.sink.ReplaceSubtree(at, afts, b.updates)
	p.sink.Publish(at, map[string]any{
		"/dataplane/state/afts-total": uint64(total), "/dataplane/state/afts-published": uint64(n),
		"/dataplane/state/afts-truncated": total > n,
	})
}

// aft collects the leaves of OpenConfig's abstract forwarding table.
type aft struct {
	updates map[string]any
	indexes map[string]uint64
}

func (b *aft) route(r engine.Route) {
	family, entry := "ipv4-unicast", "ipv4-entry"
	if r.Prefix.Addr().Is6() {
		family, entry = "ipv6-unicast", "ipv6-entry"
	}
	at := fmt.Sprintf("%s/%s/%s[prefix=%s]/state/", afts, family, entry, r.Prefix)
	b.updates[at+"prefix"] = r.Prefix.String()
	b.updates[at+"next-hop-group"] = uint64(r.Group)
	group := fmt.Sprintf("%s/next-hop-groups/next-hop-group[id=%d]/", afts, r.Group)
	if _, done := b.updates[group+"state/id"]; done {
		return
	}
	b.updates[group+"state/id"] = uint64(r.Group)
	for _, h := range r.Hops {
		index := b.hop(h)
		at := fmt.Sprintf("%snext-hops/next-hop[index=%d]/state/", group, index)
		b.updates[at+"index"] = index
		b.updates[at+"weight"] = uint64(max(h.Weight, 1))
	}
}

// hop publishes a next hop once and returns its number, which holds for this publication.
func (b *aft) hop(h engine.ResolvedHop) uint64 {
	key := h.Interface + " " + h.Address.String()
	if i, done := b.indexes[key]; done {
		return i
	}
	i := uint64(len(b.indexes) + 1)
	b.indexes[key] = i
	at := fmt.Sprintf("%s/next-hops/next-hop[index=%d]/", afts, i)
	b.updates[at+"state/index"] = i
	if h.Interface != "" {
		b.updates[at+"interface-ref/state/interface"] = h.Interface
	}
	if h.Address.IsValid() {
		b.updates[at+"state/ip-address"] = h.Address.String()
		b.updates[at+"state/counters/packets-forwarded"] = h.Packets
		b.updates[at+"state/counters/octets-forwarded"] = h.Bytes
	}
	if h.Resolved {
		b.updates[at+"state/mac-address"] = h.MAC.String()
	}
	return i
}
