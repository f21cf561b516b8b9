// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/found"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/history"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/sandbox"
)

func TestMain(m *testing.M) {
	code := sandbox.Main(m)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// faulty is the kernel with failures of the test's choice.
type faulty struct {
	*kernel.Conn
	addAddress func(kernel.Address) error
}

func (f *faulty) AddAddress(index int, a kernel.Address) error {
	if f.addAddress != nil {
		if err := f.addAddress(a); err != nil {
			return err
		}
	}
	return f.Conn.AddAddress(index, a)
}

// bed is a reconciler at work.
type bed struct {
	*Reconciler
	t      *testing.T
	dir    string
	conn   *kernel.Conn
	faults *faulty
	stop   func()

	mu    sync.Mutex
	views map[string]*View
}

func newBed(t *testing.T, dir string) *bed {
	t.Helper()
	conn, err := kernel.Open()
	sandbox.Must(t, err)
	events, err := kernel.Subscribe()
	sandbox.Must(t, err)
	store, err := found.Open(dir)
	sandbox.Must(t, err)
	b := &bed{t: t, dir: dir, conn: conn, faults: &faulty{Conn: conn}, views: map[string]*View{}}
	log := slog.New(slog.DiscardHandler)
	past := history.New(dir, log)
	past.Load()
	b.Reconciler = New(b.faults, store, past, log, NewMetrics(prometheus.NewRegistry()), b.hear)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { b.Run(ctx) })
	wg.Go(func() { past.Run(ctx) })
	wg.Go(func() {
		if err := events.Run(ctx, b.Hear); err != nil {
			t.Error(err)
		}
	})
	b.stop = sync.OnceFunc(func() { cancel(); wg.Wait(); conn.Close() })
	t.Cleanup(b.stop)
	return b
}

func (b *bed) hear(name string, v *View) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v == nil {
		delete(b.views, name)
	} else {
		b.views[name] = v
	}
}

func (b *bed) view(name string) *View {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.views[name]
}

// again is a new process after SIGKILL: what is on disk and in the kernel is all that is left.
func (b *bed) again() *bed {
	b.t.Helper()
	b.stop()
	return newBed(b.t, b.dir)
}

func (b *bed) apply(all ...intent.Interface) {
	b.t.Helper()
	sandbox.Must(b.t, b.Apply(set(all...)))
}

func set(all ...intent.Interface) map[string]intent.Interface {
	m := map[string]intent.Interface{}
	for _, i := range all {
		m[i.Name] = i
	}
	return m
}

// wants makes an interface with addresses and neighbours, "192.0.2.9=02:00:00:00:00:09".
func wants(t *testing.T, name string, items ...string) intent.Interface {
	t.Helper()
	var lists [4][]string
	for _, item := range items {
		ip, mac, neighbor := strings.Cut(item, "=")
		where := 0
		if strings.Contains(ip, ":") {
			where = 1
		}
		if neighbor {
			lists[where+2] = append(lists[where+2], fmt.Sprintf(`{"ip":%q,"config":{"ip":%q,"link-layer-address":%q}}`, ip, ip, mac))
			continue
		}
		p := netip.MustParsePrefix(item)
		lists[where] = append(lists[where], fmt.Sprintf(`{"ip":%q,"config":{"ip":%q,"prefix-length":%d}}`, p.Addr(), p.Addr(), p.Bits()))
	}
	family := func(i int) string {
		return fmt.Sprintf(`{"addresses":{"address":[%s]},"neighbors":{"neighbor":[%s]}}`, strings.Join(lists[i], ","), strings.Join(lists[i+2], ","))
	}
	text := fmt.Sprintf(`{"name":%q,"config":{"name":%q},"subinterfaces":{"subinterface":[{"index":0,"openconfig-if-ip:ipv4":%s,"openconfig-if-ip:ipv6":%s}]}}`,
		name, name, family(0), family(1))
	i, err := intent.Parse(name, []byte(text))
	sandbox.Must(t, err)
	return i
}

// addresses are the ones on a link that are not the kernel's own.
func addresses(t *testing.T, link string) []string {
	t.Helper()
	list, err := netlink.AddrList(sandbox.Link(t, link), netlink.FAMILY_ALL)
	sandbox.Must(t, err)
	var all []string
	for _, a := range list {
		if !a.IP.IsLinkLocalUnicast() {
			all = append(all, a.IPNet.String())
		}
	}
	slices.Sort(all)
	return all
}

func wantAddresses(t *testing.T, link string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := addresses(t, link); !slices.Equal(got, want) {
		t.Errorf("%s has %v, want %v", link, got, want)
	}
}

// eventually awaits what events bring about.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !check() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func up(t *testing.T, link string) bool {
	t.Helper()
	return sandbox.Link(t, link).Attrs().RawFlags&unix.IFF_UP != 0
}

func neighbor(t *testing.T, link, ip string) (netlink.Neigh, bool) {
	t.Helper()
	list, err := netlink.NeighList(sandbox.Link(t, link).Attrs().Index, netlink.FAMILY_ALL)
	sandbox.Must(t, err)
	for _, n := range list {
		if n.IP.String() == ip {
			return n, true
		}
	}
	return netlink.Neigh{}, false
}

func TestConfigureAndRelease(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.AddAddress(t, "ge0", "10.20.30.1/24")
	b := newBed(t, t.TempDir())
	b.Restore(nil)
	before := b.conn.Writes()

	i := wants(t, "ge0", "192.0.2.1/24", "2001:db8:a::1/64", "192.0.2.9=02:00:00:00:00:09", "2001:db8:a::9=02:00:00:00:00:0a")
	i.MTU, i.Description = 1400, "to host A"
	b.apply(i)
	for _, ip := range []string{"192.0.2.1", "2001:db8:a::1"} {
		if !b.conn.Taken(sandbox.Link(t, "ge0").Attrs().Index, netip.MustParseAddr(ip)) {
			t.Errorf("%s is not in effect", ip)
		}
	}
	wantAddresses(t, "ge0", "10.20.30.1/24", "192.0.2.1/24", "2001:db8:a::1/64")
	l := sandbox.Link(t, "ge0").Attrs()
	if l.MTU != 1400 || l.Alias != "to host A" || !up(t, "ge0") {
		t.Errorf("MTU %d, alias %q, up %t", l.MTU, l.Alias, up(t, "ge0"))
	}
	for ip, mac := range map[string]string{"192.0.2.9": "02:00:00:00:00:09", "2001:db8:a::9": "02:00:00:00:00:0a"} {
		if n, ok := neighbor(t, "ge0", ip); !ok || n.State != netlink.NUD_PERMANENT || n.HardwareAddr.String() != mac {
			t.Errorf("neighbor %s: %v, %t", ip, n, ok)
		}
	}
	s, _, err := b.conn.Read("ge0")
	sandbox.Must(t, err)
	if s.Link.Knobs[kernel.Forwarding4] != kernel.On || s.Link.Knobs[kernel.Forwarding6] != kernel.On {
		t.Errorf("the kernel would not forward: %v", s.Link.Knobs)
	}
	if b.conn.Writes() == before {
		t.Error("writes are not counted")
	}
	a, ok := s.Find(netip.MustParsePrefix("2001:db8:a::1/64"))
	if !ok || a.Flags&unix.IFA_F_TENTATIVE != 0 || !a.Ours() {
		t.Errorf("the IPv6 address is %+v", a)
	}

	b.apply()
	wantAddresses(t, "ge0", "10.20.30.1/24")
	l = sandbox.Link(t, "ge0").Attrs()
	if l.MTU != 1500 || l.Alias != "" || up(t, "ge0") {
		t.Errorf("after release: MTU %d, alias %q, up %t", l.MTU, l.Alias, up(t, "ge0"))
	}
	if _, ok := neighbor(t, "ge0", "192.0.2.9"); ok {
		t.Error("the neighbor stayed")
	}
	if s, _, _ := b.conn.Read("ge0"); s.Link.Knobs[kernel.Forwarding4] != kernel.Off {
		t.Error("forwarding stayed on")
	}
	if len(b.found.Names()) != 0 || b.view("ge0") != nil {
		t.Error("the released interface is not forgotten")
	}
}

func TestEachSettingHasItsEffect(t *testing.T) {
	base := func() intent.Interface {
		return wants(t, "ge0", "192.0.2.1/24", "2001:db8:a::1/64", "192.0.2.9=02:00:00:00:00:09")
	}
	for _, test := range []struct {
		desc   string
		change func(*intent.Interface)
		want   []string
		up     bool
	}{
		{"as it is", func(*intent.Interface) {}, []string{"192.0.2.1/24", "2001:db8:a::1/64"}, true},
		{"interface disabled", func(i *intent.Interface) { i.Enabled = false }, []string{"192.0.2.1/24", "2001:db8:a::1/64"}, false},
		{"subinterface disabled", func(i *intent.Interface) { i.Subinterface.Enabled = false }, nil, true},
		{"IPv4 disabled", func(i *intent.Interface) { i.Subinterface.V4.Enabled = false }, []string{"2001:db8:a::1/64"}, true},
		{"IPv6 disabled", func(i *intent.Interface) { i.Subinterface.V6.Enabled = false }, []string{"192.0.2.1/24"}, true},
		{"no subinterface", func(i *intent.Interface) { i.Subinterface = nil }, nil, true},
		{"another prefix length", func(i *intent.Interface) {
			i.Subinterface.V6.Addresses[0].Prefix = netip.MustParsePrefix("2001:db8:a::1/48")
			i.Subinterface.V4.Addresses[0].Prefix = netip.MustParsePrefix("192.0.2.1/25")
		}, []string{"192.0.2.1/25", "2001:db8:a::1/48"}, true},
	} {
		t.Run(test.desc, func(t *testing.T) {
			sandbox.Veth(t, "ge0", "far0")
			b := newBed(t, t.TempDir())
			b.Restore(nil)
			b.apply(base())
			i := base()
			test.change(&i)
			b.apply(i)
			wantAddresses(t, "ge0", test.want...)
			if up(t, "ge0") != test.up {
				t.Errorf("up = %t", !test.up)
			}
			if _, ok := neighbor(t, "ge0", "192.0.2.9"); ok != (len(i.Neighbors()) > 0) {
				t.Errorf("the neighbor is there: %t", ok)
			}
			b.apply(base())
			wantAddresses(t, "ge0", "192.0.2.1/24", "2001:db8:a::1/64")
			if _, ok := neighbor(t, "ge0", "192.0.2.9"); !ok || !up(t, "ge0") {
				t.Error("did not come back")
			}
		})
	}
}

func TestRestartChangesNothing(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.AddAddress(t, "ge0", "10.20.30.1/24")
	i := wants(t, "ge0", "192.0.2.1/24", "192.0.2.2/24", "2001:db8:a::1/64", "fe80::1/64", "192.0.2.9=02:00:00:00:00:09")
	i.MTU = 1400
	b := newBed(t, t.TempDir())
	b.Restore(set(i))
	eventually(t, "the link has carrier", func() bool { return b.view("ge0").State.Link.Carrier })
	since := b.view("ge0").LastChange
	b = b.again()
	if failures := b.Restore(set(i)); len(failures) > 0 || b.conn.Writes() != 0 {
		t.Errorf("%d writes, failures %v", b.conn.Writes(), failures)
	}
	if v := b.view("ge0"); v == nil || !v.Present || !v.LastChange.Equal(since) {
		t.Errorf("the view is %+v, want the last change at %v", v, since)
	}
	// Configuration that went while the process was away.
	b = b.again()
	b.Restore(nil)
	wantAddresses(t, "ge0", "10.20.30.1/24")
	if l := sandbox.Link(t, "ge0").Attrs(); l.MTU != 1500 || up(t, "ge0") {
		t.Errorf("MTU %d, up %t", l.MTU, up(t, "ge0"))
	}
}

func TestLostRecordRemovesOnlyOurs(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.AddAddress(t, "ge0", "10.20.30.1/24")
	b := newBed(t, t.TempDir())
	b.Restore(set(wants(t, "ge0", "192.0.2.1/24")))
	b.dir = t.TempDir()
	b = b.again()
	b.Restore(nil)
	wantAddresses(t, "ge0", "10.20.30.1/24")
}

func TestForeignChangesAreRepaired(t *testing.T) {
	for _, test := range []struct {
		desc, subject string
		harm          func(t *testing.T, l netlink.Link) error
	}{
		{"IPv6 address removed", "address", func(t *testing.T, l netlink.Link) error {
			return netlink.AddrDel(l, sandbox.Address(t, "2001:db8:a::1/64"))
		}},
		{"address added", "address", func(t *testing.T, l netlink.Link) error {
			return netlink.AddrAdd(l, sandbox.Address(t, "192.0.2.77/24"))
		}},
		{"primary address removed, its secondary with it", "address", func(t *testing.T, l netlink.Link) error {
			return netlink.AddrDel(l, sandbox.Address(t, "192.0.2.1/24"))
		}},
		{"link set down", "admin-status", func(_ *testing.T, l netlink.Link) error { return netlink.LinkSetDown(l) }},
		{"MTU changed", "mtu", func(_ *testing.T, l netlink.Link) error { return netlink.LinkSetMTU(l, 1300) }},
		{"MTU too small for IPv6", "mtu", func(_ *testing.T, l netlink.Link) error { return netlink.LinkSetMTU(l, 1000) }},
		{"alias changed", "alias", func(_ *testing.T, l netlink.Link) error { return netlink.LinkSetAlias(l, "mine") }},
		{"forwarding off", "forwarding", func(*testing.T, netlink.Link) error {
			return os.WriteFile("/proc/sys/net/ipv4/conf/ge0/forwarding", []byte("0"), 0)
		}},
		{"forwarding off for all", "forwarding", func(*testing.T, netlink.Link) error {
			return errors.Join(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0),
				os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0))
		}},
		{"IPv6 forwarding off for all", "forwarding", func(*testing.T, netlink.Link) error {
			return errors.Join(os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0),
				os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("0"), 0))
		}},
		{"connected route removed", "route", func(t *testing.T, l netlink.Link) error {
			return netlink.RouteDel(connected(t, l, "192.0.2.0/24"))
		}},
		{"IPv6 connected route removed", "route", func(t *testing.T, l netlink.Link) error {
			return netlink.RouteDel(connected(t, l, "2001:db8:a::/64"))
		}},
		{"link-local route removed", "route", func(t *testing.T, l netlink.Link) error {
			eventually(t, "the link-local address is usable", func() bool {
				list, err := netlink.AddrList(l, netlink.FAMILY_V6)
				sandbox.Must(t, err)
				return slices.ContainsFunc(list, func(a netlink.Addr) bool { return a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 })
			})
			return netlink.RouteDel(connected(t, l, "fe80::/64"))
		}},
		{"connected route replaced, which nothing tells", "route", func(t *testing.T, l netlink.Link) error {
			r := connected(t, l, "192.0.2.0/24")
			r.Protocol, r.Src, r.Scope, r.Gw = unix.RTPROT_STATIC, nil, netlink.SCOPE_UNIVERSE, net.IPv4(192, 0, 2, 9)
			r.Flags = int(netlink.FLAG_ONLINK)
			return netlink.RouteReplace(r)
		}},
		{"neighbor removed", "neighbor", func(t *testing.T, l netlink.Link) error {
			n, _ := neighbor(t, "ge0", "192.0.2.9")
			return netlink.NeighDel(&n)
		}},
		{"neighbor changed", "neighbor", func(t *testing.T, l netlink.Link) error {
			n, _ := neighbor(t, "ge0", "192.0.2.9")
			n.HardwareAddr = l.Attrs().HardwareAddr
			return netlink.NeighSet(&n)
		}},
	} {
		t.Run(test.desc, func(t *testing.T) {
			sandbox.Veth(t, "ge0", "far0")
			b := newBed(t, t.TempDir())
			i := wants(t, "ge0", "192.0.2.1/24", "192.0.2.2/24", "2001:db8:a::1/64", "192.0.2.9=02:00:00:00:00:09")
			i.MTU = 1400
			b.Restore(set(i))
			sandbox.Must(t, test.harm(t, sandbox.Link(t, "ge0")))
			eventually(t, "the repair is counted", func() bool {
				return testutil.ToFloat64(b.metrics.repairs.WithLabelValues("ge0", test.subject)) > 0
			})
			eventually(t, "everything is as configured", func() bool {
				s, _, err := b.conn.Read("ge0")
				sandbox.Must(t, err)
				r, _ := b.found.Get("ge0")
				return len(plan(configured(i, r), s)) == 0
			})
		})
	}
}

// connected is the kernel's own route to the subnet.
func connected(t *testing.T, l netlink.Link, subnet string) *netlink.Route {
	t.Helper()
	list, err := netlink.RouteList(l, netlink.FAMILY_ALL)
	sandbox.Must(t, err)
	for _, r := range list {
		if r.Dst != nil && r.Dst.String() == subnet && r.Protocol == unix.RTPROT_KERNEL {
			return &r
		}
	}
	t.Fatalf("no connected route to %s in %v", subnet, list)
	return nil
}

func TestRestoredRouteGoesWithItsAddress(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	b := newBed(t, t.TempDir())
	b.Restore(set(wants(t, "ge0", "192.0.2.1/24", "2001:db8:a::1/64")))
	l := sandbox.Link(t, "ge0")
	for _, subnet := range []string{"192.0.2.0/24", "2001:db8:a::/64"} {
		was := connected(t, l, subnet)
		sandbox.Must(t, netlink.RouteDel(was))
		eventually(t, "the route is back", func() bool {
			list, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, was, netlink.RT_FILTER_DST|netlink.RT_FILTER_OIF)
			sandbox.Must(t, err)
			return len(list) == 1
		})
		if is := connected(t, l, subnet); is.Priority != was.Priority || is.Scope != was.Scope || !is.Src.Equal(was.Src) {
			t.Errorf("the route was %v and is %v", was, is)
		}
	}
	b.apply(wants(t, "ge0"))
	list, err := netlink.RouteList(l, netlink.FAMILY_ALL)
	sandbox.Must(t, err)
	for _, r := range list {
		if r.Dst == nil || !r.Dst.IP.IsLinkLocalUnicast() {
			t.Errorf("%v stayed", r)
		}
	}
}

func TestNothingIsRepairedWithoutCarrier(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.Must(t, netlink.LinkSetDown(sandbox.Link(t, "far0")))
	b := newBed(t, t.TempDir())
	i := wants(t, "ge0", "192.0.2.1/24", "192.0.2.2/24", "192.0.2.7/32", "198.51.100.0/31", "2001:db8:a::1/64", "2001:db8:a::7/128")
	b.Restore(set(i))
	if err := b.Trouble(); err != nil {
		t.Error(err)
	}
	before := b.conn.Writes()
	for n := range 20 {
		far := sandbox.Link(t, "far0")
		if n%2 == 0 {
			sandbox.Must(t, netlink.LinkSetUp(far))
		} else {
			sandbox.Must(t, netlink.LinkSetDown(far))
		}
		eventually(t, "the flap is told", func() bool { return b.view("ge0").State.Link.Carrier == (n%2 == 0) })
	}
	if n := b.conn.Writes() - before; n != 0 {
		t.Errorf("%d writes to the kernel", n)
	}
}

func TestPendingInterfaceAppears(t *testing.T) {
	b := newBed(t, t.TempDir())
	b.Restore(nil)
	b.apply(wants(t, "ge0", "192.0.2.1/24", "2001:db8:a::1/64"))
	if v := b.view("ge0"); v == nil || v.Present || v.Problem != nil || b.Trouble() != nil {
		t.Fatalf("pending view %+v, trouble %v", v, b.Trouble())
	}
	for range 3 {
		t.Run("once", func(t *testing.T) {
			sandbox.Veth(t, "ge0", "far0")
			eventually(t, "addresses on the new link", func() bool { return len(addresses(t, "ge0")) == 2 })
			eventually(t, "the view is present and up", func() bool { v := b.view("ge0"); return v.Present && v.State.Link.Carrier })
		})
		eventually(t, "the view is gone", func() bool { return !b.view("ge0").Present })
	}
	if n := testutil.CollectAndCount(b.metrics.repairs); n != 0 {
		t.Errorf("%d subjects count as repaired", n)
	}
}

func TestRenamedLinkIsLeftAsItWasFound(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	b := newBed(t, t.TempDir())
	b.Restore(set(wants(t, "ge0", "192.0.2.1/24")))
	l := sandbox.Link(t, "ge0")
	sandbox.Must(t, netlink.LinkSetDown(l))
	sandbox.Must(t, netlink.LinkSetName(l, "ge9"))
	eventually(t, "ge0 is pending", func() bool { return !b.view("ge0").Present })
	b = b.again()
	b.Restore(set(wants(t, "ge0", "192.0.2.1/24")))
	wantAddresses(t, "ge9")
}

func TestUnconfiguredInterfacesAreNotTouched(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.Veth(t, "mgmt0", "far1")
	sandbox.AddAddress(t, "mgmt0", "198.18.0.1/24")
	before := sandbox.Link(t, "mgmt0").Attrs()
	b := newBed(t, t.TempDir())
	b.Restore(set(wants(t, "ge0", "192.0.2.1/24")))
	sandbox.AddAddress(t, "mgmt0", "198.18.0.2/24")
	sandbox.Must(t, netlink.LinkSetMTU(sandbox.Link(t, "mgmt0"), 1300))
	// A change on ge0 after those on mgmt0: once it is repaired, the earlier events were heard.
	sandbox.DeleteAddress(t, "ge0", "192.0.2.1/24")
	eventually(t, "ge0 is repaired", func() bool { return len(addresses(t, "ge0")) == 1 })
	b.apply()
	wantAddresses(t, "mgmt0", "198.18.0.1/24", "198.18.0.2/24")
	after := sandbox.Link(t, "mgmt0").Attrs()
	if after.MTU != 1300 || after.RawFlags != before.RawFlags || after.Alias != before.Alias {
		t.Errorf("mgmt0 was %+v and is %+v", before, after)
	}
	if b.view("mgmt0") != nil {
		t.Error("mgmt0 is told about")
	}
}

func TestAddressMovesInOneGo(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.Veth(t, "ge1", "far1")
	b := newBed(t, t.TempDir())
	both := []string{"192.0.2.1/24", "2001:db8:a::1/64"}
	b.Restore(set(wants(t, "ge0", both...), wants(t, "ge1")))
	b.apply(wants(t, "ge0"), wants(t, "ge1", both...))
	wantAddresses(t, "ge0")
	wantAddresses(t, "ge1", both...)
	// Swapped, each to the other's place.
	b.apply(wants(t, "ge0", both[0]), wants(t, "ge1", both[1]))
	b.apply(wants(t, "ge0", both[1]), wants(t, "ge1", both[0]))
	wantAddresses(t, "ge0", both[1])
	wantAddresses(t, "ge1", both[0])
}

func TestFailedApplyLeavesTheKernelAsItWas(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.Veth(t, "ge1", "far1")
	sandbox.AddAddress(t, "ge1", "10.20.30.1/24")
	b := newBed(t, t.TempDir())
	i := wants(t, "ge0", "192.0.2.1/24")
	b.Restore(set(i))
	t.Run("the kernel itself refuses", func(t *testing.T) {
		sandbox.Must(t, os.WriteFile("/proc/sys/net/ipv6/conf/ge1/disable_ipv6", []byte("1"), 0))
		j := wants(t, "ge1", "198.51.100.1/24", "2001:db8:b1::1/64")
		j.MTU = 1400
		err := b.Apply(set(wants(t, "ge0", "192.0.2.7/24"), j))
		var r *intent.Refusal
		if !errors.As(err, &r) || r.Path != j.AddressPath(j.Addresses()[1]) || !strings.Contains(r.Reason, "IPv6 is disabled") {
			t.Fatalf("refused with %v", err)
		}
		wantAddresses(t, "ge0", "192.0.2.1/24")
		wantAddresses(t, "ge1", "10.20.30.1/24")
		if l := sandbox.Link(t, "ge1").Attrs(); l.MTU != 1500 || up(t, "ge1") {
			t.Errorf("ge1 has MTU %d, up %t", l.MTU, up(t, "ge1"))
		}
		if b.view("ge1") != nil || b.Trouble() != nil {
			t.Error("a refused interface was told about")
		}
	})
	t.Run("half-way", func(t *testing.T) {
		left := 1
		b.faults.addAddress = func(a kernel.Address) error {
			if left--; left < 0 && a.Prefix.Addr().Is4() && strings.HasPrefix(a.Prefix.String(), "203.0.113.") {
				return unix.ENOBUFS
			}
			return nil
		}
		if err := b.Apply(set(wants(t, "ge0", "203.0.113.1/25", "203.0.113.129/25"))); err == nil {
			t.Fatal("no error")
		}
		wantAddresses(t, "ge0", "192.0.2.1/24")
	})
}

func TestProblemIsTriedAgain(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	b := newBed(t, t.TempDir())
	var mu sync.Mutex
	broken := true
	b.faults.addAddress = func(kernel.Address) error {
		mu.Lock()
		defer mu.Unlock()
		if broken {
			return unix.ENOBUFS
		}
		return nil
	}
	if failures := b.Restore(set(wants(t, "ge0", "192.0.2.1/24"))); len(failures) != 1 || b.Trouble() == nil {
		t.Fatalf("failures %v, trouble %v", failures, b.Trouble())
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	eventually(t, "the address is there", func() bool { return len(addresses(t, "ge0")) == 1 })
	eventually(t, "no trouble", func() bool { return b.Trouble() == nil })
}

func TestFlapStormConverges(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	b := newBed(t, t.TempDir())
	i := wants(t, "ge0", "192.0.2.1/24", "2001:db8:a::1/64", "192.0.2.9=02:00:00:00:00:09")
	b.Restore(set(i))
	near, far := sandbox.Link(t, "ge0"), sandbox.Link(t, "far0")
	for n := range 2000 {
		switch n % 4 {
		case 0:
			sandbox.Must(t, netlink.LinkSetDown(far))
		case 1:
			sandbox.Must(t, netlink.LinkSetUp(far))
		case 2:
			sandbox.Must(t, netlink.LinkSetDown(near))
		case 3:
			_ = netlink.AddrDel(near, sandbox.Address(t, "192.0.2.1/24"))
		}
	}
	eventually(t, "everything is as configured", func() bool {
		s, _, err := b.conn.Read("ge0")
		sandbox.Must(t, err)
		r, _ := b.found.Get("ge0")
		return len(plan(configured(i, r), s)) == 0 && s.Link.Carrier
	})
	eventually(t, "the last word is up", func() bool { v := b.view("ge0"); return v.Present && v.State.Link.Carrier && v.Problem == nil })
}

func TestSweepFindsWhatNothingTold(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.Veth(t, "ge1", "far1")
	b := newBed(t, t.TempDir())
	b.Restore(set(wants(t, "ge0", "192.0.2.1/24"), wants(t, "ge1", "198.51.100.1/24")))
	for _, name := range []string{"ge0", "ge1"} {
		// Without the index, the events cannot be assigned.
		b.names.forget(sandbox.Link(t, name).Attrs().Index)
	}
	sandbox.DeleteAddress(t, "ge0", "192.0.2.1/24")
	sandbox.DeleteAddress(t, "ge1", "198.51.100.1/24")
	eventually(t, "the addresses are back", func() bool { return len(addresses(t, "ge0"))+len(addresses(t, "ge1")) == 2 })
}

func TestLostEventsMeanReadingAgain(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	b := newBed(t, t.TempDir())
	b.Restore(set(wants(t, "ge0", "192.0.2.1/24")))
	// A repair that no event announces: as if the socket had overflowed.
	b.names.forget(sandbox.Link(t, "ge0").Attrs().Index)
	sandbox.DeleteAddress(t, "ge0", "192.0.2.1/24")
	b.Hear([]kernel.Event{{Subject: kernel.Everything}})
	eventually(t, "the address is back", func() bool { return len(addresses(t, "ge0")) == 1 })
}
