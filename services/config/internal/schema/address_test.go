// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"fmt"
	"testing"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"pgregory.net/rapid"
)

const (
	address6 = "/interfaces/interface[name=ge0]/subinterfaces/subinterface[index=0]/ipv6/addresses/address"
	static   = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]/static-routes/static"
)

func TestAddressesAreCanonical(t *testing.T) {
	for _, tt := range []struct{ list, key, in, want string }{
		{address6, "ip", "2001:DB8:f:0::1", "2001:db8:f::1"},
		{address6, "ip", "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
		{address6, "ip", "1:0:0:2:0:0:0:3", "1:0:0:2::3"},
		{address6, "ip", "0:0:0:0:0:0:0:0", "::"},
		{address6, "ip", "0::FFFF:102:0304", "::ffff:102:304"},
		{static, "prefix", "2001:0DB8:0::/48", "2001:db8::/48"},
		{static, "prefix", "2001:DB8::1/48", "2001:db8::1/48"}, // the owner refuses it, and names it
		{static, "prefix", "192.0.2.1/24", "192.0.2.1/24"},
	} {
		p, err := model().Resolve(gpath.MustParse(fmt.Sprintf("%s[%s=%s]", tt.list, tt.key, tt.in)))
		if err != nil || p.String() != fmt.Sprintf("%s[%s=%s]", tt.list, tt.key, tt.want) {
			t.Errorf("key %s: %v, %v; want %s", tt.in, p, err, tt.want)
			continue
		}
		// The leaf that mirrors the key has the same value, so that the two agree.
		leaf := p.Node(model()).Child("config").Child(tt.key)
		if v, err := leaf.DecodeText("", tt.in); err != nil || !v.Equal(p[len(p)-1].Keys[0].Value) {
			t.Errorf("leaf %s: %s, %v", tt.in, v, err)
		}
	}
}

// TestCanonicalAddressesAreTaken: what is kept is itself a value of the type, and canonical.
func TestCanonicalAddressesAreTaken(t *testing.T) {
	p, err := model().Resolve(gpath.MustParse(address6))
	if err != nil {
		t.Fatal(err)
	}
	leaf := p.Node(model()).Child("config").Child("ip")
	rapid.Check(t, func(t *rapid.T) {
		groups := rapid.SliceOfN(rapid.SampledFrom([]uint16{0, 0, 0, 1, 0xab, 0xffff}), 8, 8).Draw(t, "groups")
		text := fmt.Sprintf("%X:%X:%X:%X:%X:%X:%X:%X", groups[0], groups[1], groups[2], groups[3], groups[4], groups[5], groups[6], groups[7])
		v, err := leaf.DecodeText("", text)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := leaf.DecodeText("", v.String()); err != nil || !again.Equal(v) {
			t.Fatalf("%s is kept as %s, which comes back as %s: %v", text, v, again, err)
		}
	})
}
