// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/yang"
)

func TestWhatIsNotEnforcedIsRefused(t *testing.T) {
	for body, want := range map[string]string{
		`container c { must "x"; leaf x { type string; } }`:                           `"must"`,
		`leaf x { when "../y"; type string; } leaf y { type string; }`:                `"when"`,
		`list l { key k; unique v; leaf k { type string; } leaf v { type string; } }`: `"unique"`,
		`feature f; leaf x { if-feature f; type string; }`:                            `"if-feature"`,
		`choice c { leaf a { type string; } leaf b { type string; } }`:                "choice",
		`list l { key k; min-elements 1; leaf k { type string; } }`:                   "min-elements",
		`leaf-list l { max-elements 3; type string; }`:                                "max-elements",
		`list l { key k; ordered-by user; leaf k { type string; } }`:                  "ordered by the user",
		`list l { config false; leaf k { type string; } }`:                            "without key",
		`anyxml x;`: "not supported",
		`leaf x { type leafref { path "../y"; } }`:                                                     "leads nowhere",
		`leaf x { type leafref { path "../y"; } } leaf y { type leafref { path "../x"; } }`:            "circle",
		`leaf x { type uint8 { range "1..5"; } default 7; }`:                                           "default",
		`leaf x { type string { pattern "[a-z-[aeiou]]"; } }`:                                          "subtraction",
		`leaf x { type instance-identifier; }`:                                                         "instance-identifier",
		`import gone { prefix g; } leaf x { type string; }`:                                            "gone",
		`leaf x { type string; } leaf x { type string; }`:                                              "x",
		`leaf x { type nonsense; }`:                                                                    "nonsense",
		`list l { key k; leaf k { type string; } leaf v { type leafref { path "../../l[k=1]/k"; } } }`: "predicate",
	} {
		if _, err := load(t, body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant an error with %s", body, err, want)
		}
	}
	if _, err := schema.Load(fstest.MapFS{"t.yang": &fstest.MapFile{Data: []byte("module t {")}}); err == nil {
		t.Error("a broken file was loaded")
	}
}

func TestOneNameFromTwoModulesIsRefused(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	_, err := schema.Load(fstest.MapFS{
		"a.yang": file(`module a { namespace "urn:a"; prefix a; container c { leaf x { type string; } } }`),
		"b.yang": file(`module b { namespace "urn:b"; prefix b; import a { prefix a; } augment "/a:c" { container x { } } }`),
	})
	if err == nil {
		t.Error("both were taken")
	}
}

func TestVendorModuleBesideOurs(t *testing.T) {
	vendor := fstest.MapFS{"acme.yang": &fstest.MapFile{Data: []byte(`module acme { namespace "urn:acme"; prefix acme;
		import openconfig-interfaces { prefix oc-if; } organization "Acme"; revision 2026-01-01;
		augment "/oc-if:interfaces/oc-if:interface/oc-if:config" { leaf colour { type string; default "red"; } } }`)}}
	m, err := schema.Load(yang.Files(), vendor)
	if err != nil {
		t.Fatal(err)
	}
	n := m.Root().Child("interfaces").Child("interface").Child("config").Child("colour")
	if n == nil || n.Module().Name != "acme" || n.Module().Version != "2026-01-01" || !n.Config() {
		t.Errorf("%+v", n)
	}
}

func TestNodes(t *testing.T) {
	in := model().Root().Child("interfaces").Child("interface")
	for _, test := range []struct {
		n     *schema.Node
		class schema.Class
	}{
		{in.Child("config").Child("mtu"), schema.Config},
		{in.Child("state").Child("mtu"), schema.Applied},
		{in.Child("state").Child("oper-status"), schema.Operational},
		{in.Child("state").Child("counters").Child("in-pkts"), schema.Operational},
		{in.Child("name"), schema.Config},
	} {
		if test.n.Class() != test.class {
			t.Errorf("%s is of class %d, want %d", test.n.Path(), test.n.Class(), test.class)
		}
	}
	if in.Children()[0] != in.Keys()[0] || in.Child("name").Mirror() != in.Child("config").Child("name") {
		t.Error("the key is not first, or has no mirror")
	}
	if m := in.Child("subinterfaces").Child("subinterface").Child("ipv4").Module().Name; m != "openconfig-if-ip" {
		t.Errorf("ipv4 is in the module %s", m)
	}
}

func TestPatternsOfXMLSchema(t *testing.T) {
	for _, test := range []struct{ pattern, taken, refused string }{
		{`a|b`, "b", "ab"},
		{`^a$`, "^a$", "a"},
		{`[a$^]+`, "a$^", "b"},
		{`\d+`, "٣4", "a"},
		{`[\d.]+`, "1.2", "a"},
		{`\w+`, "aé5", "a b"},
		{`[\W]`, "-", "a"},
		{`a.b`, "a b", "a\nb"},
		{`\i\c*`, "_a-1", "1a"},
		{`\S\D`, "ab", "a1"},
		{`a\.b`, "a.b", "axb"},
		{`[^a-c]`, "d", "b"},
	} {
		n := leaf(t, "string { pattern '"+test.pattern+"'; }")
		if _, err := n.DecodeText("/x", test.taken); err != nil {
			t.Errorf("%s refuses %q", test.pattern, test.taken)
		}
		if _, err := n.DecodeText("/x", test.refused); err == nil {
			t.Errorf("%s takes %q", test.pattern, test.refused)
		}
	}
}
