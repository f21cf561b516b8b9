// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

func kindOf(err error) schema.Kind {
	var refused *schema.Error
	if errors.As(err, &refused) {
		return refused.Kind
	}
	return 0
}

func TestNoElementsIsTheRoot1(t *testing.T) {
	p, err := model().Resolve(&gnmi.Path{})
	if err != nil || len(p) != 0 || p.Node(model()) != model().Root() || p.String() != "/" || !p.Complete() {
		t.Errorf("%v, %v", p, err)
	}
}

func TestPrefixAndPathAreOne1(t *testing.T) {
	prefix := &gnmi.Path{Target: "leaf1", Origin: "openconfig", Elem: gpath.MustParse("/interfaces").Elem}
	got, err := schema.Join(prefix, gpath.MustParse("/interface[name=ge0]"))
	want := &gnmi.Path{Origin: "openconfig", Elem: gpath.MustParse("/interfaces/interface[name=ge0]").Elem}
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := schema.Join(nil, nil); err != nil || len(got.GetElem()) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestOrigins3And4(t *testing.T) {
	for origin, want := range map[string]schema.Kind{"": 0, "openconfig": 0, "cli": schema.Unsupported, "OpenConfig": schema.Unsupported} {
		p := gpath.MustParse("/interfaces")
		p.Origin = origin
		if _, err := model().Resolve(p); kindOf(err) != want {
			t.Errorf("origin %q: %v", origin, err)
		}
		if _, err := model().Match(&gnmi.Path{Origin: origin, Elem: gpath.MustParse("/*/interface").Elem}); kindOf(err) != want {
			t.Errorf("origin %q: %v", origin, err)
		}
	}
	_, err := schema.Join(&gnmi.Path{Origin: "openconfig"}, &gnmi.Path{Origin: "openconfig"})
	if kindOf(err) != schema.BadPath {
		t.Errorf("an origin in the prefix and in the path: %v", err)
	}
}

func TestModuleNamesAreRefusedInPaths6(t *testing.T) {
	_, err := model().Resolve(&gnmi.Path{Elem: []*gnmi.PathElem{{Name: "openconfig-interfaces:interfaces"}}})
	if kindOf(err) != schema.BadPath || !strings.Contains(err.Error(), "write interfaces without") {
		t.Error(err)
	}
}

func TestOmittedKeysAreWildcards7(t *testing.T) {
	for _, text := range []string{"/interfaces/interface/config", "/interfaces/interface[name=*]/config"} {
		p, err := model().Resolve(gpath.MustParse(text))
		if err != nil || p.Complete() || p.String() != "/interfaces/interface[name=*]/config" {
			t.Errorf("%s: %v, %v", text, p, err)
		}
	}
}

func TestWildcards8(t *testing.T) {
	const ni = "/network-instances/network-instance[name=*]"
	for _, test := range []struct {
		in   string
		want []string
	}{
		{"/*", []string{"/components", "/dataplane", "/install", "/interfaces", "/network-instances", "/system"}},
		{"/system/*/hostname", []string{"/system/config/hostname", "/system/state/hostname"}},
		{"/.../hostname", []string{"/system/config/hostname", "/system/state/hostname"}},
		{"/.../config/type", []string{"/interfaces/interface[name=*]/config/type", ni + "/config/type"}},
		{"/interfaces/...", []string{"/interfaces"}},
		{"/...", []string{"/"}},
		{"/.../...", []string{"/"}},
		{"/interfaces/.../interface[name=ge0]", []string{"/interfaces/interface[name=ge0]"}},
		{"/interfaces/*[name=ge0]/config/mtu", []string{"/interfaces/interface[name=ge0]/config/mtu"}},
		{"/interfaces/interface[name=ge0]/.../prefix-length", []string{
			"/interfaces/interface[name=ge0]/subinterfaces/subinterface[index=*]/ipv4/addresses/address[ip=*]/config/prefix-length",
			"/interfaces/interface[name=ge0]/subinterfaces/subinterface[index=*]/ipv4/addresses/address[ip=*]/state/prefix-length",
			"/interfaces/interface[name=ge0]/subinterfaces/subinterface[index=*]/ipv6/addresses/address[ip=*]/config/prefix-length",
			"/interfaces/interface[name=ge0]/subinterfaces/subinterface[index=*]/ipv6/addresses/address[ip=*]/state/prefix-length",
		}},
		{"/interfaces/.../interfaces", nil},
		{"/*/nothing", nil},
	} {
		got, err := model().Match(gpath.MustParse(test.in))
		var texts []string
		for _, p := range got {
			texts = append(texts, p.String())
		}
		if !slices.Equal(texts, test.want) || (err == nil) != (test.want != nil) {
			t.Errorf("%s: %v, %v; want %v", test.in, texts, err, test.want)
		}
		if test.want == nil && kindOf(err) != schema.UnknownPath {
			t.Errorf("%s: %v, want UnknownPath", test.in, err)
		}
	}
	if _, err := model().Resolve(gpath.MustParse("/*/interface")); kindOf(err) != schema.BadPath {
		t.Errorf("Resolve of a wildcard: %v", err)
	}
}

func TestManyDeepWildcardsAreCheap(t *testing.T) {
	p := &gnmi.Path{}
	for _, want := range []schema.Kind{schema.UnknownPath, schema.BadPath} {
		for range 60 {
			p.Elem = append(p.Elem, &gnmi.PathElem{Name: "..."}, &gnmi.PathElem{Name: "*"})
		}
		if _, err := model().Match(p); kindOf(err) != want {
			t.Error(err)
		}
	}
}

func TestUnknownAndMalformedPaths13(t *testing.T) {
	for _, test := range []struct {
		in   *gnmi.Path
		kind schema.Kind
		want string
	}{
		{gpath.MustParse("/interfacs"), schema.UnknownPath, `/interfacs: the model has no "interfacs" here; did you mean "interfaces"?`},
		{gpath.MustParse("/interfaces/interface[name=a]/config/colour"), schema.UnknownPath, `/interfaces/interface[name=a]/config/colour: the model has no "colour" here`},
		{gpath.MustParse("/system/config/hostname/x"), schema.UnknownPath, `/system/config/hostname/x: nothing is below the leaf hostname`},
		{gpath.MustParse("/interfaces/interface[nam=a]"), schema.BadPath, `/interfaces/interface[nam=a]: interface has no key "nam"; its keys: name`},
		{gpath.MustParse("/system[a=b]/config"), schema.BadPath, `/system[a=b]: system is no list and takes no keys`},
		{&gnmi.Path{Elem: []*gnmi.PathElem{{}}}, schema.BadPath, `an element has no name`},
		{gpath.MustParse("/interfaces/interface[name=a]/subinterfaces/subinterface[index=-1]"), schema.BadValue, `key index: the value "-1" is not a number (uint32) in 0..4294967295`},
		{gpath.MustParse("/network-instances/network-instance[name=x]/protocols/protocol[identifier=RIP][name=x]"), schema.BadValue, `key identifier: the value "RIP" is not one of DIRECTLY_CONNECTED, STATIC`},
		{&gnmi.Path{Element: []string{"interfaces"}}, schema.BadPath, `the deprecated field element is not supported`}, //lint:ignore SA1019 it is refused
	} {
		if _, err := model().Resolve(test.in); kindOf(err) != test.kind || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %s", test.in, err, test.want)
		}
	}
}

func TestKeysAreCanonical9(t *testing.T) {
	const ni = "/network-instances/network-instance[name=a/b]/protocols/protocol"
	for _, text := range []string{ni + "[identifier=STATIC][name=x]", ni + "[identifier=openconfig-policy-types:STATIC][name=x]"} {
		p, err := model().Resolve(gpath.MustParse(text))
		if err != nil || p.String() != ni+"[identifier=STATIC][name=x]" || !p.Complete() {
			t.Errorf("%s: %v, %v", text, p, err)
		}
		again, err := model().Resolve(p.GNMI())
		if err != nil || !again.Equal(p) {
			t.Errorf("%s does not come back: %v, %v", p, again, err)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, test := range []struct {
		pattern, path string
		want          bool
	}{
		{"/", "/system", true},
		{"/interfaces/interface", "/interfaces/interface[name=a]/config", true},
		{"/interfaces/interface[name=a]", "/interfaces/interface[name=a]/config/mtu", true},
		{"/interfaces/interface[name=a]", "/interfaces/interface[name=b]", false},
		{"/interfaces/interface[name=a]", "/interfaces/interface", false},
		{"/interfaces/interface[name=a]/config", "/interfaces/interface[name=a]", false},
		{"/system/config", "/system/state", false},
	} {
		p, _ := model().Resolve(gpath.MustParse(test.pattern))
		q, _ := model().Resolve(gpath.MustParse(test.path))
		if p.Covers(q) != test.want {
			t.Errorf("%s covers %s: %v", test.pattern, test.path, !test.want)
		}
	}
}
