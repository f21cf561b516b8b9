// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package static

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib/fibtest"
	"github.com/ashlar-nos/ashlar/services/rib/internal/links"
	"github.com/ashlar-nos/ashlar/services/rib/internal/rib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

const protocol = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]"

func at(prefix string) string { return protocol + "/static-routes/static[prefix=" + prefix + "]" }

func object(path, doc string) owner.Object {
	o := owner.Object{Path: gpath.MustParse(path)}
	if doc != "" {
		o.New = json.RawMessage(doc)
	}
	for _, p := range Patterns() {
		if gpath.Match(gpath.MustParse(p), o.Path) {
			o.Pattern = p
		}
	}
	return o
}

func change(objects ...owner.Object) owner.Change {
	return owner.Change{Objects: objects, Desired: map[string]owner.Object{}}
}

// hops is the configuration of a route whose next hops are documents.
func hops(prefix string, next ...string) string {
	return fmt.Sprintf(`{"prefix":%q,"config":{"prefix":%q},"next-hops":{"next-hop":[%s]}}`, prefix, prefix, strings.Join(next, ","))
}

func next(index, address string) string {
	return fmt.Sprintf(`{"index":%q,"config":{"index":%q,"next-hop":%q}}`, index, index, address)
}

// board collects what is published.
type board map[string]any

func (b board) Publish(_ time.Time, updates map[string]any, deletes ...string) {
	for _, root := range deletes {
		for path := range b {
			if path == root || strings.HasPrefix(path, root+"/") {
				delete(b, path)
			}
		}
	}
	for path, value := range updates {
		b[path] = value
	}
}

// rig is an owner before a table and an engine that is programmed at once.
type rig struct {
	*Routes
	rib    *rib.RIB
	links  *links.Links
	engine *fibtest.Engine
	board  board
}

func newRig(t testing.TB) *rig {
	r := &rig{engine: fibtest.New(), board: board{}}
	r.rib = rib.New(table.DefaultLimits(), fib.Config{BatchSize: 64, Window: 4})
	r.links = links.New(r.rib)
	r.links.Set(links.Interface{Name: "ge1", Up: true, Addresses: []netip.Prefix{
		netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("2001:db8:b1::1/64"),
	}})
	r.Routes = New(r.rib, r.links.Owns, r.board)
	r.limit = 200 * time.Millisecond
	r.program(t)
	return r
}

// program plays the dataplane until the test ends.
func (r *rig) program(t testing.TB) {
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	r.engine.Open()
	r.rib.Begin(true)
	go func() {
		defer close(done)
		for {
			for b := r.rib.Next(); b != nil; b = r.rib.Next() {
				var failures []fib.Failure
				if f := r.engine.Take(b); f != nil {
					failures = append(failures, *f)
				}
				if err := r.rib.Acknowledge(b.Sequence, failures); err != nil {
					t.Error(err)
				}
			}
			select {
			case <-r.rib.Work():
			case <-stop:
				return
			}
		}
	}()
}

func TestPrepareRefuses(t *testing.T) {
	v4, v6 := "10.99.0.0/16", "2001:db8:99::/48"
	many := []string{}
	for i := range 129 {
		many = append(many, next(fmt.Sprint(i), netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 2)}).String()))
	}
	tests := []struct {
		desc, path, doc string
		code            codes.Code
		at, reason      string
	}{
		{"another instance", strings.Replace(at(v4), "DEFAULT", "RED", 1), hops(v4, next("1", "198.51.100.10")), codes.Unimplemented, "", "RED"},
		{"another protocol", strings.Replace(at(v4), "STATIC", "BGP", 1), hops(v4, next("1", "198.51.100.10")), codes.Unimplemented, "", "BGP"},
		{"another instance alone", "/network-instances/network-instance[name=RED]/config", `{"name":"RED"}`, codes.Unimplemented, "", "RED"},
		{"an instance of another type", "/network-instances/network-instance[name=DEFAULT]/config", `{"name":"DEFAULT","type":"L3VRF"}`, codes.InvalidArgument, "/type", "L3VRF"},
		{"another protocol alone", "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=BGP][name=x]/config", `{"identifier":"BGP","name":"x"}`, codes.Unimplemented, "", "BGP"},
		{"host bits", at("10.99.0.1/16"), hops("10.99.0.1/16", next("1", "198.51.100.10")), codes.InvalidArgument, "/config/prefix", "did you mean 10.99.0.0/16"},
		{"no prefix", at(v4), hops("10.99", next("1", "198.51.100.10")), codes.InvalidArgument, "/config/prefix", "not a prefix"},
		{"multicast", at("224.1.0.0/16"), hops("224.1.0.0/16", next("1", "198.51.100.10")), codes.InvalidArgument, "/config/prefix", "multicast"},
		{"loopback", at("127.0.0.0/8"), hops("127.0.0.0/8", next("1", "198.51.100.10")), codes.InvalidArgument, "/config/prefix", "loopback"},
		{"link-local", at("fe80::/64"), hops("fe80::/64", next("1", "2001:db8:b1::10")), codes.InvalidArgument, "/config/prefix", "link-local"},
		{"mapped", at("::ffff:10.0.0.0/104"), hops("::ffff:10.0.0.0/104", next("1", "2001:db8:b1::10")), codes.InvalidArgument, "/config/prefix", "mapped"},
		{"no next hop", at(v4), hops(v4), codes.InvalidArgument, "/next-hops", "needs a next hop"},
		{"an empty next hop", at(v4), hops(v4, `{"index":"1","config":{"index":"1"}}`), codes.InvalidArgument, "/next-hops/next-hop[index=1]/config/next-hop", "missing"},
		{"another family", at(v4), hops(v4, next("1", "2001:db8:b1::10")), codes.InvalidArgument, "/next-hops/next-hop[index=1]/config/next-hop", "family"},
		{"another family the other way", at(v6), hops(v6, next("1", "198.51.100.10")), codes.InvalidArgument, "/next-hops/next-hop[index=1]/config/next-hop", "family"},
		{"own address", at(v4), hops(v4, next("a", "198.51.100.1")), codes.InvalidArgument, "/next-hops/next-hop[index=a]/config/next-hop", "own address, on ge1"},
		{"no neighbour's address", at(v4), hops(v4, next("1", "255.255.255.255")), codes.InvalidArgument, "/next-hops/next-hop[index=1]/config/next-hop", "neighbour"},
		{"no address", at(v4), hops(v4, next("1", "nowhere")), codes.InvalidArgument, "/next-hops/next-hop[index=1]/config/next-hop", "neither an address nor DROP"},
		{"link-local without interface", at(v6), hops(v6, next("1", "fe80::10")), codes.InvalidArgument, "/next-hops/next-hop[index=1]/interface-ref", "needs an interface"},
		{"drop and forward", at(v4), hops(v4, next("1", "198.51.100.10"), next("2", "DROP")), codes.InvalidArgument, "/next-hops/next-hop[index=2]/config/next-hop", "cannot be used together with index 1"},
		{"drop with interface", at(v4), hops(v4, `{"index":"1","config":{"index":"1","next-hop":"DROP"},"interface-ref":{"config":{"interface":"ge1"}}}`), codes.InvalidArgument, "/next-hops/next-hop[index=1]/interface-ref", "no interface"},
		{"twice the same", at(v4), hops(v4, next("1", "198.51.100.10"), next("2", "198.51.100.10")), codes.InvalidArgument, "/next-hops/next-hop[index=2]/config/next-hop", "index 1"},
		{"two links", at(v4), hops(v4, `{"index":"1","config":{"index":"1"},"interface-ref":{"config":{"interface":"ge1"}}}`, `{"index":"2","config":{"index":"2"},"interface-ref":{"config":{"interface":"ge2"}}}`), codes.InvalidArgument, "/next-hops/next-hop[index=2]/config/next-hop", "on the link ge1"},
		{"too many", at(v4), hops(v4, many...), codes.InvalidArgument, "/next-hops", "limit is 128"},
		{"preference 0", at(v4), hops(v4, `{"index":"1","config":{"index":"1","next-hop":"198.51.100.10","preference":0}}`), codes.InvalidArgument, "/next-hops/next-hop[index=1]/config/preference", "1 to 255"},
		{"preference 256", at(v4), hops(v4, `{"index":"1","config":{"index":"1","next-hop":"198.51.100.10","preference":256}}`), codes.InvalidArgument, "/next-hops/next-hop[index=1]/config/preference", "1 to 255"},
		{"metric of text", at(v4), hops(v4, `{"index":"1","config":{"index":"1","next-hop":"198.51.100.10","metric":"much"}}`), codes.InvalidArgument, "/next-hops/next-hop[index=1]/config/metric", "number"},
		{"subinterface", at(v4), hops(v4, `{"index":"1","config":{"index":"1","next-hop":"198.51.100.10"},"interface-ref":{"config":{"interface":"ge1","subinterface":7}}}`), codes.InvalidArgument, "/next-hops/next-hop[index=1]/interface-ref/config/subinterface", "subinterface 0"},
		{"an unknown leaf", at(v4), hops(v4, `{"index":"1","config":{"index":"1","next-hop":"198.51.100.10","recurse":true}}`), codes.InvalidArgument, "/next-hops/next-hop[index=1]/config/recurse", "no such member"},
		{"garbage", at(v4), `[1,2]`, codes.InvalidArgument, "", "not an object"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			r := newRig(t)
			err := r.Prepare(context.Background(), change(object(tt.path, tt.doc)))
			var refused *owner.Refusal
			if !errors.As(err, &refused) {
				t.Fatalf("error %v, want a refusal", err)
			}
			if want := tt.path + tt.at; gpath.String(refused.Path) != want || refused.Code != tt.code || !strings.Contains(refused.Reason, tt.reason) {
				t.Fatalf("%s %s: %q, want %s %s: %q", refused.Code, gpath.String(refused.Path), refused.Reason, tt.code, want, tt.reason)
			}
		})
	}
}

func TestPrepareAccepts(t *testing.T) {
	v4 := "10.99.0.0/16"
	for desc, o := range map[string]owner.Object{
		"the instance":            object("/network-instances/network-instance[name=DEFAULT]/config", `{"name":"DEFAULT","type":"openconfig-network-instance-types:DEFAULT_INSTANCE"}`),
		"the protocol":            object(protocol+"/config", `{"identifier":"openconfig-policy-types:STATIC","name":"static"}`),
		"the protocol in full":    object(strings.Replace(protocol, "STATIC", "openconfig-policy-types:STATIC", 1)+"/config", `{}`),
		"an unreachable next hop": object(at(v4), hops(v4, next("1", "203.0.113.99"))),
		"an interface to come":    object(at(v4), hops(v4, `{"index":"1","config":{"index":"1","next-hop":"10.0.0.1"},"interface-ref":{"config":{"interface":"ge77"}}}`)),
		"an interface alone":      object(at(v4), hops(v4, `{"index":"1","config":{"index":"1"},"interface-ref":{"config":{"interface":"ge1"}}}`)),
		"names with modules":      object(at(v4), `{"openconfig-network-instance:prefix":"10.99.0.0/16","openconfig-local-routing:config":{"prefix":"10.99.0.0/16"},"openconfig-local-routing:next-hops":{"next-hop":[{"index":"1","config":{"openconfig-local-routing:next-hop":"openconfig-local-routing:DROP"}}]}}`),
		"a default":               object(at("0.0.0.0/0"), hops("0.0.0.0/0", next("1", "198.51.100.10"))),
		"a floating discard":      object(at(v4), hops(v4, next("1", "198.51.100.10"), `{"index":"2","config":{"index":"2","next-hop":"DROP","preference":250}}`)),
		"a link-local next hop":   object(at("2001:db8:99::/48"), hops("2001:db8:99::/48", `{"index":"1","config":{"index":"1","next-hop":"fe80::10"},"interface-ref":{"config":{"interface":"ge1","subinterface":0}}}`)),
		"a deletion":              object(at(v4), ""),
		"a deletion out of place": object(strings.Replace(at(v4), "DEFAULT", "RED", 1), ""),
	} {
		if err := newRig(t).Prepare(context.Background(), change(o)); err != nil {
			t.Errorf("%s: %v", desc, err)
		}
	}
}

func TestCommitAndState(t *testing.T) {
	r, ctx := newRig(t), context.Background()
	path := at("10.99.0.0/16")
	doc := hops("10.99.0.0/16", next("1", "198.51.100.10"), `{"index":"far","config":{"index":"far","next-hop":"203.0.113.10","metric":7,"preference":20}}`)
	if err := r.Commit(ctx, change(object(path, doc))); err != nil {
		t.Fatal(err)
	}
	hop := path + "/next-hops/next-hop[index="
	want := board{
		path + "/state/prefix":               "10.99.0.0/16",
		hop + "1]/state/index":               "1",
		hop + "1]/state/next-hop":            "198.51.100.10",
		hop + "1]/state/metric":              uint32(0),
		hop + "1]/state/preference":          uint32(1),
		hop + "1]/state/resolved":            true,
		hop + "far]/state/index":             "far",
		hop + "far]/state/next-hop":          "203.0.113.10",
		hop + "far]/state/metric":            uint32(7),
		hop + "far]/state/preference":        uint32(20),
		hop + "far]/state/resolved":          false,
		hop + "far]/state/unresolved-reason": "no route to 203.0.113.10",
		protocol + "/state/identifier":       "openconfig-policy-types:STATIC",
		protocol + "/state/name":             "static",
	}
	compareBoards(t, r.board, want)
	r.links.Set(links.Interface{Name: "ge2", Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}})
	r.show([]string{path})
	want[hop+"far]/state/resolved"] = true
	delete(want, hop+"far]/state/unresolved-reason")
	compareBoards(t, r.board, want)
	if err := r.Commit(ctx, change(object(path, ""))); err != nil {
		t.Fatal(err)
	}
	compareBoards(t, r.board, board{})
	if _, ok := r.engine.Content(netip.MustParsePrefix("10.99.0.0/16")); ok {
		t.Fatal("still in the dataplane")
	}
}

func compareBoards(t *testing.T, got, want board) {
	t.Helper()
	for path, value := range want {
		if got[path] != value {
			t.Errorf("%s: %v, want %v", path, got[path], value)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s is published", path)
		}
	}
}

func TestFollowShowsReachability(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(context.Background())
	published := make(chan map[string]any, 16)
	r.publisher = publisherFunc(func(updates map[string]any) { published <- updates })
	done := make(chan error, 1)
	go func() { done <- r.Follow(ctx) }()
	path := at("10.99.0.0/16")
	if err := r.Commit(ctx, change(object(path, hops("10.99.0.0/16", next("1", "198.51.100.10"))))); err != nil {
		t.Fatal(err)
	}
	r.links.Set(links.Interface{Name: "ge1", Up: false})
	for {
		select {
		case u := <-published:
			if u[path+"/next-hops/next-hop[index=1]/state/resolved"] == false {
				cancel()
				<-done
				return
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was shown")
		}
	}
}

type publisherFunc func(map[string]any)

func (f publisherFunc) Publish(_ time.Time, updates map[string]any, _ ...string) { f(updates) }

func TestRefusedByTheDataplane(t *testing.T) {
	r, ctx := newRig(t), context.Background()
	if err := r.rib.Await(ctx, func(t *table.Table, _ rib.Session) bool { return t.Outbox().Settled() == t.Outbox().Mark() }); err != nil {
		t.Fatal(err)
	}
	r.engine.MaxRoutes = len(r.engine.Routes) + 1
	one, two := at("10.1.0.0/16"), at("10.2.0.0/16")
	err := r.Commit(ctx, change(
		object(one, hops("10.1.0.0/16", next("1", "198.51.100.10"))),
		object(two, hops("10.2.0.0/16", next("1", "198.51.100.10"))),
	))
	var refused *owner.Refusal
	if !errors.As(err, &refused) || refused.Code != codes.ResourceExhausted || !strings.Contains(refused.Reason, "limit of") {
		t.Fatalf("error %v", err)
	}
	if err := r.rib.Await(ctx, func(t *table.Table, _ rib.Session) bool { return t.Outbox().Settled() == t.Outbox().Mark() }); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"10.1.0.0/16", "10.2.0.0/16"} {
		if _, ok := r.engine.Content(netip.MustParsePrefix(p)); ok {
			t.Errorf("%s is half installed", p)
		}
	}
	if r.Len() != 0 || len(r.board) != 0 {
		t.Errorf("%d routes, state %v", r.Len(), r.board)
	}
	if err := r.Commit(ctx, change(object(one, hops("10.1.0.0/16", next("1", "198.51.100.10"))))); err != nil {
		t.Errorf("what fits: %v", err)
	}
}

func TestDataplaneAway(t *testing.T) {
	r := New(rib.New(table.DefaultLimits(), fib.Config{BatchSize: 64, Window: 4}), // nobody programs this one
		func(netip.Addr) (string, bool) { return "", false }, board{})
	r.limit = 20 * time.Millisecond
	doc := object(at("10.1.0.0/16"), hops("10.1.0.0/16", `{"index":"1","config":{"index":"1","next-hop":"DROP"}}`))
	err := r.Commit(context.Background(), change(doc))
	var refused *owner.Refusal
	if !errors.As(err, &refused) || refused.Code != codes.Unavailable || r.Len() != 0 {
		t.Fatalf("error %v, %d routes", err, r.Len())
	}
	// The inverse is in effect at once: nothing of the change was ever sent.
	if err := r.Commit(context.Background(), change(object(at("10.1.0.0/16"), ""))); err != nil {
		t.Fatal(err)
	}
}

func TestOnePrefixInTwoProtocols(t *testing.T) {
	r, ctx := newRig(t), context.Background()
	one := at("10.1.0.0/16")
	two := strings.Replace(one, "name=static", "name=other", 1)
	err := r.Commit(ctx, change(
		object(one, hops("10.1.0.0/16", next("1", "198.51.100.10"))),
		object(two, hops("10.1.0.0/16", next("1", "198.51.100.11"))),
	))
	if err != nil {
		t.Fatal(err)
	}
	got := func() int {
		n := 0
		r.rib.View(func(t *table.Table) {
			ref, _ := t.Find(netip.MustParsePrefix("10.1.0.0/16"))
			best, _ := t.Best(ref)
			n = len(best.Resolved.Hops)
		})
		return n
	}
	if got() != 2 {
		t.Fatalf("%d next hops, want both", got())
	}
	if err := r.Commit(ctx, change(object(two, ""))); err != nil || got() != 1 {
		t.Fatalf("error %v, %d next hops", err, got())
	}
}

func TestRestoreReplaces(t *testing.T) {
	r, ctx := newRig(t), context.Background()
	if err := r.Commit(ctx, change(object(at("10.1.0.0/16"), hops("10.1.0.0/16", next("1", "198.51.100.10"))))); err != nil {
		t.Fatal(err)
	}
	errs := r.Restore(ctx, owner.Snapshot{Objects: map[string]owner.Object{
		at("10.2.0.0/16"):    object(at("10.2.0.0/16"), hops("10.2.0.0/16", next("1", "198.51.100.10"))),
		at("10.3.0.0/16"):    object(at("10.3.0.0/16"), `{"prefix":"10.3.0.0/16","config":{"prefix":"10.3.0.0/16"}}`),
		protocol + "/config": object(protocol+"/config", `{"identifier":"STATIC","name":"static"}`),
	}})
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "10.3.0.0/16") {
		t.Fatalf("errors %v", errs)
	}
	var prefixes []string
	r.rib.View(func(t *table.Table) {
		for _, ref := range t.All(4) {
			for _, p := range t.Paths(ref) {
				if p.Source == Protocol {
					prefixes = append(prefixes, p.Prefix.String())
				}
			}
		}
	})
	if !slices.Equal(prefixes, []string{"10.2.0.0/16"}) {
		t.Fatalf("routes %v", prefixes)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(hops("10.99.0.0/16", next("1", "198.51.100.10")))
	f.Add(hops("2001:db8::/32", `{"index":"a]b\\","config":{"next-hop":"DROP","metric":1,"preference":"7"},"interface-ref":{"config":{"interface":"ge1"}}}`))
	f.Add(`{"next-hops":{"next-hop":{}}}`)
	f.Fuzz(func(t *testing.T, doc string) {
		route, err := Parse(json.RawMessage(doc))
		if err != nil {
			return
		}
		if route.Check(func(netip.Addr) (string, bool) { return "", false }) != nil {
			return
		}
		if !route.Prefix.IsValid() || route.Prefix != route.Prefix.Masked() || len(route.Hops) == 0 {
			t.Fatalf("accepted %+v", route)
		}
		for _, p := range paths([]Route{route}) {
			if p.Distance == 0 || p.Kind == fib.Forward && len(p.NextHops) == 0 {
				t.Fatalf("path %+v", p)
			}
		}
	})
}
