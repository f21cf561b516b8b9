// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
)

// machine is what the judge of these tests looks at.
func machine() Judge {
	links := map[string]kernel.Link{
		"ge0":   {Name: "ge0", Kind: "veth", Hardware: unix.ARPHRD_ETHER, MTU: 1500, MinMTU: 68, MaxMTU: 65535},
		"ge1":   {Name: "ge1", Hardware: unix.ARPHRD_ETHER, MTU: 1500, MinMTU: 1000, MaxMTU: 9216},
		"small": {Name: "small", Hardware: unix.ARPHRD_ETHER, MTU: 1000, MinMTU: 68, MaxMTU: 9216},
		"no6":   {Name: "no6", Hardware: unix.ARPHRD_ETHER, MTU: 1500, IPv6Disabled: true},
		"tun0":  {Name: "tun0", Hardware: unix.ARPHRD_NONE, MTU: 1500},
	}
	return Judge{
		Inventory: func() (Inventory, error) {
			return Inventory{Management: []string{"mgmt0"}, Ports: []string{"ge0", "ge1", "ge2", "small", "no6", "tun0"}}, nil
		},
		Link: func(name string) (kernel.Link, bool, error) { l, ok := links[name]; return l, ok, nil },
		Occupied: func() (map[string][]netip.Prefix, error) {
			return map[string][]netip.Prefix{"mgmt0": {netip.MustParsePrefix("198.18.0.1/24")}, "ge0": {netip.MustParsePrefix("10.0.0.1/8")}}, nil
		},
	}
}

func with(name string, mtu int, prefixes ...string) intent.Interface {
	i := intent.Interface{Name: name, Enabled: true, MTU: mtu, Subinterface: &intent.Subinterface{Enabled: true}}
	f4, f6 := &intent.Family{Enabled: true}, &intent.Family{Enabled: true}
	for _, text := range prefixes {
		p := netip.MustParsePrefix(text)
		f := f4
		if p.Addr().Is6() {
			f = f6
		}
		f.Addresses = append(f.Addresses, intent.Address{Text: p.Addr().String(), Prefix: p})
	}
	i.Subinterface.V4, i.Subinterface.V6 = f4, f6
	return i
}

func neighbor(i intent.Interface, ip string) intent.Interface {
	a := netip.MustParseAddr(ip)
	f := i.Subinterface.V4
	if a.Is6() {
		f = i.Subinterface.V6
	}
	f.Neighbors = append(f.Neighbors, intent.Neighbor{Text: ip, Address: a, Hardware: []byte{2, 0, 0, 0, 0, 9}})
	return i
}

func TestJudge(t *testing.T) {
	path := func(name, rest string) string { return "/interfaces/interface[name=" + name + "]" + rest }
	const sub = "/subinterfaces/subinterface[index=0]"
	long := with("ge0", 0)
	long.Description = strings.Repeat("x", 256)
	for _, test := range []struct {
		desc   string
		others []intent.Interface
		i      intent.Interface
		path   string
		reason string
	}{
		{"plain", nil, with("ge0", 0, "192.0.2.1/24", "2001:db8::1/64"), "", ""},
		{"not there yet", nil, with("ge2", 9000, "192.0.2.1/24"), "", ""},
		{"loopback", nil, with("lo", 0), path("lo", ""), "loopback"},
		{"management", nil, with("mgmt0", 0), path("mgmt0", ""), "management"},
		{"no port", nil, with("eth7", 0), path("eth7", ""), "ashlar init"},
		{"name too long", nil, with("averyveryverylongname", 0), path("averyveryverylongname", "/name"), "15 bytes"},
		{"name with a slash", nil, with("../x", 0), path("../x", "/name"), "slash"},
		{"description too long", nil, long, path("ge0", "/config/description"), "255 bytes"},
		{"no Ethernet", nil, with("tun0", 0), path("tun0", "/config/type"), "no Ethernet"},
		{"MTU below the link's", nil, with("ge1", 999), path("ge1", "/config/mtu"), "1000 to 9216"},
		{"MTU above the link's", nil, with("ge1", 9217), path("ge1", "/config/mtu"), "1000 to 9216"},
		{"MTU above XDP's on a veth", nil, with("ge0", 3507), path("ge0", "/config/mtu"), "68 to 3506"},
		{"MTU at XDP's limit", nil, with("ge0", 3506), "", ""},
		{"MTU of a link to come", nil, with("ge2", 67), path("ge2", "/config/mtu"), "68 to 65535"},
		{"IPv6 with a small MTU", nil, with("ge0", 1279, "2001:db8::1/64"), path("ge0", "/config/mtu"), "1280"},
		{"IPv6 on a link with a small MTU", nil, with("small", 0, "2001:db8::1/64"), path("small", "/config/mtu"), "1280"},
		{"IPv4 with a small MTU", nil, with("ge0", 576, "192.0.2.1/24"), "", ""},
		{"IPv6 switched off", nil, with("no6", 0, "2001:db8::1/64"), path("no6", sub+"/ipv6/addresses/address[ip=2001:db8::1]"), "disable_ipv6"},
		{"neighbors on the link", nil, neighbor(neighbor(neighbor(with("ge0", 0, "192.0.2.1/24", "2001:db8::1/64"), "192.0.2.9"), "2001:db8::9"), "fe80::9"), "", ""},
		{"neighbor elsewhere", nil, neighbor(with("ge0", 0, "192.0.2.1/24"), "198.51.100.9"),
			path("ge0", sub+"/ipv4/neighbors/neighbor[ip=198.51.100.9]"), "in no subnet of ge0"},
		{"IPv6 neighbor elsewhere", nil, neighbor(with("ge0", 0, "192.0.2.1/24", "2001:db8::1/64"), "2001:db8:1::9"),
			path("ge0", sub+"/ipv6/neighbors/neighbor[ip=2001:db8:1::9]"), "in no subnet of ge0"},
		{"neighbor without any address", nil, neighbor(with("ge0", 0), "192.0.2.9"), path("ge0", sub+"/ipv4/neighbors/neighbor[ip=192.0.2.9]"), "in no subnet"},
		{"address in use", []intent.Interface{with("ge1", 0, "192.0.2.1/24")}, with("ge0", 0, "192.0.2.1/25"),
			path("ge0", sub+"/ipv4/addresses/address[ip=192.0.2.1]"), "in use on ge1"},
		{"subnet overlaps", []intent.Interface{with("ge1", 0, "192.0.2.1/24")}, with("ge0", 0, "192.0.2.129/25"),
			path("ge0", sub+"/ipv4/addresses/address[ip=192.0.2.129]"), "overlaps 192.0.2.0/24 on ge1"},
		{"IPv6 subnet overlaps", []intent.Interface{with("ge1", 0, "2001:db8::1/48")}, with("ge0", 0, "2001:db8:0:7::1/64"),
			path("ge0", sub+"/ipv6/addresses/address[ip=2001:db8:0:7::1]"), "overlaps"},
		{"management's subnet", nil, with("ge0", 0, "198.18.0.9/24"), path("ge0", sub+"/ipv4/addresses/address[ip=198.18.0.9]"), "on mgmt0"},
		{"same link-local address", []intent.Interface{with("ge1", 0, "fe80::1/64")}, with("ge0", 0, "fe80::1/64"), "", ""},
		{"two subnets of its own that overlap", nil, with("ge0", 0, "192.0.2.1/24", "192.0.2.129/25"), "", ""},
		{"what the kernel has on a configured interface does not count", []intent.Interface{with("ge0", 0)}, with("ge1", 0, "10.0.0.1/8"), "", ""},
	} {
		t.Run(test.desc, func(t *testing.T) {
			wanted := map[string]intent.Interface{test.i.Name: test.i}
			for _, o := range test.others {
				wanted[o.Name] = o
			}
			err := machine().Judge(wanted, []string{test.i.Name})
			var r *intent.Refusal
			errors.As(err, &r)
			switch {
			case test.path == "" && err != nil:
				t.Error(err)
			case test.path != "" && r == nil:
				t.Error("accepted")
			case test.path != "" && (r.Path != test.path || !strings.Contains(r.Reason, test.reason)):
				t.Errorf("%q at %s, want %q at %s", r.Reason, r.Path, test.reason, test.path)
			}
		})
	}
}

func TestRemovalIsAlwaysAdmitted(t *testing.T) {
	if err := machine().Judge(nil, []string{"mgmt0", "ge0"}); err != nil {
		t.Error(err)
	}
}

func TestInventory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "init.json")
	var (
		i   Inventory
		err error
	)
	j := machine()
	j.Inventory = func() (Inventory, error) { return LoadInventory(file) }
	j.Known = func(name string) bool { return name == "ge0" }
	refuses := func(what, hint string) {
		t.Helper()
		for _, err := range []error{j.Judge(map[string]intent.Interface{"ge0": with("ge0", 0)}, []string{"ge0"}), j.Permit(with("mgmt0", 0))} {
			var r *intent.Refusal
			if !errors.As(err, &r) || r.Code != codes.FailedPrecondition || !strings.Contains(r.Reason, hint) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := j.Permit(with("ge0", 0)); err != nil {
			t.Errorf("%s, what carries traffic: %v", what, err)
		}
		if err := j.Judge(nil, []string{"ge0"}); err != nil {
			t.Errorf("%s, a removal: %v", what, err)
		}
	}
	refuses("no file", "run `ashlar init`")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"management":["mgmt0"],"ports":[]}`)
	if i, err = LoadInventory(file); err != nil || i.forbids("ge0") == "" || i.forbids("mgmt0") == "" {
		t.Errorf("%+v, %v", i, err)
	}
	write(`{`)
	refuses("a damaged file", "damaged")
}
