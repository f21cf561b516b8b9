// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package static

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

// Publisher takes state leaves; see telemetry.Publisher.
type Publisher interface {
	Publish(at time.Time, updates map[string]any, deletes ...string)
}

// settleTime is how long changes of reachability are gathered before they are shown.
const settleTime = 20 * time.Millisecond

// Follow shows the state of next hops as their reachability changes, until ctx ends.
func (s *Routes) Follow(ctx context.Context) error {
	for {
		select {
		case <-s.rib.Resolved():
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-time.After(settleTime):
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
		keys := slices.Collect(maps.Keys(s.routes))
		s.mu.Unlock()
		s.show(keys)
	}
}

// ShowInstance publishes the state that is always there.
func (s *Routes) ShowInstance() {
	root := "/network-instances/network-instance[name=" + instance + "]/state/"
	s.publisher.Publish(s.now(), map[string]any{
		root + "name": instance,
		root + "type": "openconfig-network-instance-types:DEFAULT_INSTANCE",
	})
}

// show publishes what differs from what was shown of some routes.
func (s *Routes) show(keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	updates, deletes := map[string]any{}, []string(nil)
	s.rib.View(func(t *table.Table) {
		for _, key := range keys {
			next := map[string]any{}
			if entry, ok := s.routes[key]; ok {
				next = leaves(t, key, entry)
			}
			for path := range s.shown[key] {
				if _, kept := next[path]; !kept {
					deletes = append(deletes, path)
				}
			}
			for path, value := range next {
				if s.shown[key][path] != value {
					updates[path] = value
				}
			}
			if s.shown[key] = next; len(next) == 0 {
				delete(s.shown, key)
			}
		}
	})
	s.showProtocols(updates, &deletes, keys)
	if len(updates)+len(deletes) > 0 {
		slices.Sort(deletes)
		s.publisher.Publish(s.now(), updates, deletes...)
	}
}

// showProtocols adds the state of the protocol entries that the routes stand in.
func (s *Routes) showProtocols(updates map[string]any, deletes *[]string, keys []string) {
	seen := map[string]bool{}
	for _, key := range keys {
		root, _, ok := strings.Cut(key, "/static-routes/")
		if !ok || seen[root] {
			continue
		}
		seen[root] = true
		if path, err := gpath.Parse(root); err == nil && s.used(root) {
			updates[root+"/state/identifier"] = "openconfig-policy-types:STATIC"
			updates[root+"/state/name"] = gpath.Key(path, "protocol", "name")
		} else {
			*deletes = append(*deletes, root+"/state")
		}
	}
}

func (s *Routes) used(protocol string) bool {
	for key := range s.routes {
		if strings.HasPrefix(key, protocol+"/") {
			return true
		}
	}
	return false
}

// hop is what tells next hops of one prefix apart.
type hop struct {
	rank
	address netip.Addr
	link    string
}

// leaves is the state of one route.
func leaves(t *table.Table, key string, entry configured) map[string]any {
	missing := reasons(t, entry.route.Prefix)
	out := map[string]any{key + "/state/prefix": entry.route.Prefix.String()}
	for _, h := range entry.route.Hops {
		root := key + hopPath(h.Index)
		out[root+"/state/index"] = h.Index
		out[root+"/state/metric"] = h.Metric
		out[root+"/state/preference"] = uint32(h.Distance)
		if text := h.text(); text != "" {
			out[root+"/state/next-hop"] = text
		}
		if h.Interface != "" {
			out[root+"/interface-ref/state/interface"] = h.Interface
		}
		reason, known := missing[hop{h.rank(), h.Address, h.Interface}]
		if !known && !h.Drop {
			reason = "not in the routing table"
		}
		out[root+"/state/resolved"] = reason == ""
		if reason != "" {
			out[root+"/state/unresolved-reason"] = reason
		}
	}
	return out
}

// reasons says of each static next hop of a prefix why it cannot be used; empty when it can.
func reasons(t *table.Table, prefix netip.Prefix) map[hop]string {
	out := map[hop]string{}
	ref, ok := t.Find(prefix)
	if !ok {
		return out
	}
	for _, p := range t.Paths(ref) {
		if p.Source != Protocol {
			continue
		}
		for i, h := range p.NextHops {
			reason := ""
			if i < len(p.Missing) {
				reason = p.Missing[i]
			}
			out[hop{rank{p.Distance, p.Metric, p.Kind}, h.Address, h.Interface}] = reason
		}
	}
	return out
}

// text is a next hop as the model writes it; empty when the prefix is on the link.
func (h Hop) text() string {
	switch h.kind() {
	case fib.Drop:
		return "openconfig-local-routing:DROP"
	case fib.Forward:
		return h.Address.String()
	}
	return ""
}
