// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package static

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
	"github.com/ashlar-nos/ashlar/services/rib/internal/rib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

const (
	patternInstance = "/network-instances/network-instance[name=*]/config"
	patternProtocol = "/network-instances/network-instance[name=*]/protocols/protocol[identifier=*][name=*]/config"
	patternStatic   = "/network-instances/network-instance[name=*]/protocols/protocol[identifier=*][name=*]/static-routes/static[prefix=*]"
)

const (
	instance = "DEFAULT"
	// CommitLimit is how long a commit waits for the dataplane: less than the time after which the
	// configuration service gives up on an owner.
	CommitLimit = 4 * time.Second
	// maxRoutes bounds the configuration.
	maxRoutes = 100_000
)

// Routes is the owner of static routes. It implements owner.Handler. The rest of its methods are safe for
// concurrent use.
type Routes struct {
	rib       *rib.RIB
	own       func(netip.Addr) (link string, own bool)
	publisher Publisher

	mu       sync.Mutex
	routes   map[string]configured     // by path
	byPrefix map[netip.Prefix][]string // paths, sorted: several protocol entries may have one prefix
	shown    map[string]map[string]any // telemetry by object
	now      func() time.Time
	limit    time.Duration // of a commit

	observed, restored chan struct{}
	once               struct{ observed, restored sync.Once }

	// Committed, when set, is told how long each commit took.
	Committed func(time.Duration)
}

// configured is a route with where it is configured.
type configured struct {
	path  *gnmi.Path
	route Route
}

// New returns an owner without routes. own tells the device's own addresses.
func New(r *rib.RIB, own func(netip.Addr) (string, bool), p Publisher) *Routes {
	return &Routes{
		rib: r, own: own, publisher: p, now: time.Now, limit: CommitLimit,
		observed: make(chan struct{}), restored: make(chan struct{}),
		routes: map[string]configured{}, byPrefix: map[netip.Prefix][]string{}, shown: map[string]map[string]any{},
	}
}

// Patterns are the objects that the owner declares.
func Patterns() []string { return []string{patternInstance, patternProtocol, patternStatic} }

// Restored is closed once the owner's snapshot was put into the table.
func (s *Routes) Restored() <-chan struct{} { return s.restored }

// Observed is closed once any snapshot was.
func (s *Routes) Observed() <-chan struct{} { return s.observed }

// Len is the number of routes configured.
func (s *Routes) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.routes)
}

// Commit implements owner.Handler: it returns when the dataplane has the routes. When it refuses one, or
// does not answer in time, the change is taken back.
func (s *Routes) Commit(ctx context.Context, c owner.Change) error {
	change, errs := parseAll(c.Objects)
	if len(errs) > 0 {
		return errs[0]
	}
	if s.Committed != nil {
		defer func(begin time.Time) { s.Committed(time.Since(begin)) }(time.Now())
	}
	undo, prefixes, err := s.put(change)
	if err == nil {
		err = s.await(ctx, prefixes, change)
	}
	if err != nil {
		if _, _, e := s.put(undo); e != nil {
			err = errors.Join(err, fmt.Errorf("and the change could not be taken back: %w", e))
		}
	}
	s.show(slices.Collect(maps.Keys(change)))
	return err
}

// Restore implements owner.Handler. It does not wait for the dataplane: readiness does.
func (s *Routes) Restore(_ context.Context, snapshot owner.Snapshot) []error {
	errs := s.restore(snapshot)
	s.once.restored.Do(func() { close(s.restored) })
	return errs
}

// Observe implements owner.Observer: the table follows, and nobody is programmed.
func (s *Routes) Observe(_ context.Context, snapshot owner.Snapshot) { s.restore(snapshot) }

func (s *Routes) restore(snapshot owner.Snapshot) []error {
	objects := make([]owner.Object, 0, len(snapshot.Objects))
	for _, key := range slices.Sorted(maps.Keys(snapshot.Objects)) {
		objects = append(objects, snapshot.Objects[key])
	}
	change, errs := parseAll(objects)
	s.mu.Lock()
	for key, old := range s.routes {
		if _, kept := change[key]; !kept {
			change[key] = configured{path: old.path}
		}
	}
	s.mu.Unlock()
	if _, _, err := s.put(change); err != nil {
		errs = append(errs, err)
	}
	s.show(slices.Collect(maps.Keys(change)))
	s.once.observed.Do(func() { close(s.observed) })
	return errs
}

// parseAll reads objects; one without next hops is deleted.
func parseAll(objects []owner.Object) (map[string]configured, []error) {
	out := map[string]configured{}
	var errs []error
	for _, o := range objects {
		if o.Pattern != patternStatic {
			continue
		}
		entry := configured{path: o.Path}
		if o.New != nil {
			var err error
			if err = checkPlace(o); err == nil {
				entry.route, err = Parse(o.New)
			}
			if err == nil && entry.deleted() {
				err = faultf("/next-hops", "a static route needs a next hop: an address, an interface or DROP")
			}
			if err != nil {
				errs = append(errs, refusal(o.Path, err))
				continue
			}
		}
		out[gpath.String(o.Path)] = entry
	}
	return out, errs
}

func (c configured) deleted() bool { return len(c.route.Hops) == 0 }

// put changes routes in one step. It returns what puts them back and the prefixes concerned; after an
// error nothing has changed.
func (s *Routes) put(change map[string]configured) (undo map[string]configured, prefixes []netip.Prefix, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	undo, prefixes = s.store(change)
	s.rib.Update(func(t *table.Table) {
		if err = s.derive(t, prefixes); err != nil {
			s.store(undo)
			// What was there before fits: the failed change was the one to add.
			err = errors.Join(err, s.derive(t, prefixes))
			return
		}
		for _, p := range prefixes {
			t.Hurry(p)
		}
	})
	return undo, prefixes, err
}

// store keeps the books.
func (s *Routes) store(change map[string]configured) (undo map[string]configured, prefixes []netip.Prefix) {
	undo = map[string]configured{}
	concerned := map[netip.Prefix]bool{}
	for key, entry := range change {
		old, had := s.routes[key]
		if !had {
			old = configured{path: entry.path}
		}
		undo[key] = old
		if had {
			concerned[old.route.Prefix] = true
			s.byPrefix[old.route.Prefix] = slices.DeleteFunc(s.byPrefix[old.route.Prefix], func(k string) bool { return k == key })
			delete(s.routes, key)
		}
		if !entry.deleted() {
			p := entry.route.Prefix
			concerned[p] = true
			s.byPrefix[p] = append(s.byPrefix[p], key)
			slices.Sort(s.byPrefix[p])
			s.routes[key] = entry
		}
	}
	for p := range concerned {
		if len(s.byPrefix[p]) == 0 {
			delete(s.byPrefix, p)
		}
	}
	return undo, slices.SortedFunc(maps.Keys(concerned), netip.Prefix.Compare)
}

// derive makes the table's paths of the routes for each prefix.
func (s *Routes) derive(t *table.Table, prefixes []netip.Prefix) error {
	source := t.Source(Protocol)
	for _, p := range prefixes {
		var routes []Route
		for _, key := range s.byPrefix[p] {
			routes = append(routes, s.routes[key].route)
		}
		if len(routes) == 0 {
			t.Remove(p, source)
			continue
		}
		if err := t.Set(p, source, 0, paths(routes)...); err != nil {
			return owner.Refuse(s.routes[s.byPrefix[p][0]].path, codes.ResourceExhausted, "%s", err)
		}
	}
	return nil
}

// await waits until the dataplane has decided about the prefixes and returns its refusal.
func (s *Routes) await(ctx context.Context, prefixes []netip.Prefix, change map[string]configured) error {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	var refused error
	err := s.rib.Await(ctx, func(t *table.Table, _ rib.Session) bool {
		if refused = refusedBy(t, change); refused != nil {
			return true
		}
		return rib.Decided(t, slices.Values(prefixes))
	})
	switch {
	case err == nil:
		return refused
	case !s.rib.Session().Open:
		return owner.Refuse(anyPath(change), codes.Unavailable, "the dataplane is away: nothing was changed, try again")
	}
	return owner.Refuse(anyPath(change), codes.DeadlineExceeded, "the dataplane did not acknowledge the routes within %s: nothing was changed, try again", s.limit)
}

// refusedBy finds a route of the change that the dataplane refused.
func refusedBy(t *table.Table, change map[string]configured) error {
	for _, key := range slices.Sorted(maps.Keys(change)) {
		entry := change[key]
		if entry.deleted() {
			continue
		}
		ref, ok := t.Find(entry.route.Prefix)
		if !ok {
			continue
		}
		best, ok := t.Best(ref)
		if !ok || best.Source != Protocol {
			continue
		}
		if r, undone := t.Undone(entry.route.Prefix); undone {
			return owner.Refuse(entry.path, codes.Code(r.Code), "the dataplane refused the route: %s", r.Reason)
		}
	}
	return nil
}

func anyPath(change map[string]configured) *gnmi.Path {
	for _, key := range slices.Sorted(maps.Keys(change)) {
		return change[key].path
	}
	return nil
}

var _ owner.Handler = (*Routes)(nil)
