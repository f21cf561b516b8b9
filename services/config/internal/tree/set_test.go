// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"slices"
	"strings"
	"testing"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// The numbers in the names are those of the list of gNMI's statements that the project works by.

const (
	ge0    = "/interfaces/interface[name=ge0]"
	ge1    = "/interfaces/interface[name=ge1]"
	static = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=DEFAULT]/static-routes/static"
)

func two(t testing.TB) *tree.Tree {
	return must(t, tree.NewConfig(model()),
		`update `+ge0+`/config {"mtu":1500,"description":"zero"}`,
		`update `+ge1+`/config {"mtu":1600}`,
		`update `+ge1+`/subinterfaces/subinterface[index=0]/config {"description":"one"}`)
}

func TestDeleteExpandsWildcardsAndPartialKeys10(t *testing.T) {
	for _, path := range []string{
		"/interfaces/interface[name=*]/config/mtu", "/interfaces/interface/config/mtu", "/interfaces/*/config/mtu", "/interfaces/.../mtu", "/.../mtu",
	} {
		got := must(t, two(t), "delete "+path)
		for _, port := range []string{ge0, ge1} {
			if v := value(t, got, port+"/config/mtu"); v != "<absent>" {
				t.Errorf("delete %s left the mtu of %s: %s", path, port, v)
			}
		}
		if v := value(t, got, ge0+"/config/description"); v != "zero" {
			t.Errorf("delete %s took the description too: %s", path, v)
		}
	}
}

func TestPartialKeysRefused11(t *testing.T) {
	for _, op := range []string{
		`update /interfaces/interface {"config":{}}`,
		`replace /interfaces/interface[name=*]/config {"mtu":1500}`,
		`update /network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC]/config {}`,
	} {
		if err := refusal(t, two(t), op); err.Kind != schema.BadPath {
			t.Errorf("%s: kind %d (%v), want BadPath", op, err.Kind, err)
		}
	}
}

func TestDefaultsInUseAreReturned14(t *testing.T) {
	if v := value(t, two(t), ge0+"/config/enabled"); v != "true" {
		t.Errorf("enabled is %s, want the default", v)
	}
	doc, _ := tree.View{two(t)}.RenderJSON(resolve(t, ge0+"/config"), tree.OnlyConfig, schema.JSONIETF)
	want := `{"openconfig-interfaces:description":"zero","openconfig-interfaces:enabled":true,"openconfig-interfaces:mtu":1500,"openconfig-interfaces:name":"ge0"}`
	if string(doc) != want {
		t.Errorf("got  %s\nwant %s", doc, want)
	}
}

func TestOrderDeleteReplaceUpdate27(t *testing.T) {
	req := &gnmi.SetRequest{
		Update:  []*gnmi.Update{{Path: gpath.MustParse(ge0 + "/config/mtu"), Val: ietf("3000")}},
		Replace: []*gnmi.Update{{Path: gpath.MustParse(ge0 + "/config"), Val: ietf(`{"mtu":2000,"description":"replaced"}`)}},
		Delete:  []*gnmi.Path{gpath.MustParse(ge0)},
	}
	e := two(t).Edit(at(2))
	if err := e.Apply(req); err != nil {
		t.Fatal(err)
	}
	got, _, err := e.Commit()
	if err != nil {
		t.Fatal(err)
	}
	if v := value(t, got, ge0+"/config/mtu"); v != "3000" {
		t.Errorf("mtu is %s, want that of the update", v)
	}
	if v := value(t, got, ge0+"/config/description"); v != "replaced" {
		t.Errorf("description is %s, want that of the replace", v)
	}
}

func TestRepeatedPathLastWins28(t *testing.T) {
	got := must(t, two(t), `update `+ge0+`/config/mtu 2000`, `update `+ge0+`/config {"mtu":2001}`, `update `+ge0+`/config/mtu 2002`)
	if v := value(t, got, ge0+"/config/mtu"); v != "2002" {
		t.Errorf("mtu is %s", v)
	}
}

func TestEmptySetSucceeds31(t *testing.T) {
	base := two(t)
	got, changes, err := apply(base, at(2))
	if err != nil || got != base || !changes.Empty() {
		t.Errorf("an empty Set: %v, %v", err, changed(changes))
	}
}

func TestUnknownPathAndBadValue35(t *testing.T) {
	for _, test := range []struct {
		op   string
		kind schema.Kind
		path string
		hint string
	}{
		{`update ` + ge0 + `/config/mtuu 1500`, schema.UnknownPath, ge0 + "/config/mtuu", `"mtu"`},
		{`delete /interface`, schema.UnknownPath, "/interface", `"interfaces"`},
		{`update ` + ge0 + `/config {"mtuu":1500}`, schema.UnknownPath, ge0 + "/config/mtuu", `"mtu"`},
		{`update ` + ge0 + ` {"config":{"openconfig-system:mtu":1}}`, schema.UnknownPath, ge0 + "/config/mtu", "openconfig-interfaces"},
		{`update ` + ge0 + `/config/mtu 70000`, schema.BadValue, ge0 + "/config/mtu", "0..65535"},
		{`update ` + ge0 + `/config/mtu "1500"`, schema.BadValue, ge0 + "/config/mtu", "1500"},
		{`update ` + ge0 + `/config/enabled 1`, schema.BadValue, ge0 + "/config/enabled", "true or false"},
		{`update ` + ge0 + `/config {"mtu":1500`, schema.BadValue, ge0 + "/config", "JSON"},
		{`update ` + ge0 + `/config {"mtu":1500,"mtu":1501}`, schema.BadValue, ge0 + "/config", "twice"},
		{`update ` + ge0 + `/config {"mtu":1500,"openconfig-interfaces:mtu":1501}`, schema.BadValue, ge0 + "/config/mtu", "twice"},
		{`update ` + ge0 + `/config [1]`, schema.BadValue, ge0 + "/config", "object"},
		{`update /interfaces {"interface":[{"config":{}}]}`, schema.BadValue, "/interfaces/interface", "key name"},
		{`update /interfaces {"interface":[{"name":"a"},{"name":"a"}]}`, schema.BadValue, "/interfaces/interface[name=a]", "twice"},
		{`update ` + ge0 + `/subinterfaces/subinterface[index=x]/config {}`, schema.BadValue, ge0 + "/subinterfaces/subinterface[index=x]", "index"},
		{`update ` + ge0 + `/state/mtu 1500`, schema.ReadOnly, ge0 + "/state/mtu", "state"},
		{`update ` + ge0 + ` {"state":{"mtu":1500}}`, schema.ReadOnly, ge0 + "/state", "state"},
		{`delete ` + ge0 + `/state`, schema.ReadOnly, ge0 + "/state", "state"},
		{`delete ` + ge0 + `/config/name`, schema.BadPath, ge0 + "/config/name", "entry"},
		{`update /interfaces/interface[nam=ge0]/config {}`, schema.BadPath, "/interfaces/interface[nam=ge0]", "name"},
		{`update /interfaces[name=ge0]/interface {}`, schema.BadPath, "/interfaces[name=ge0]", "no list"},
	} {
		err := refusal(t, two(t), test.op)
		if err.Kind != test.kind || err.Path != test.path || !strings.Contains(err.Reason, test.hint) {
			t.Errorf("%s:\n got kind %d, %v\nwant kind %d, path %s, with %s", test.op, err.Kind, err, test.kind, test.path, test.hint)
		}
	}
}

func TestEmptyEntryAndNull37(t *testing.T) {
	for _, op := range []string{
		`replace ` + ge0 + ` {}`, `replace ` + ge0 + ` null`, `update ` + ge0 + `/config/mtu null`, `update ` + ge0 + `/config {"mtu":null}`,
		`replace /interfaces {"interface":[{}]}`, `replace /interfaces {"interface":null}`,
	} {
		if err := refusal(t, two(t), op); err.Kind != schema.BadValue {
			t.Errorf("%s: %v, want BadValue", op, err)
		}
	}
}

func TestReplaceRestoresDefaultsAndDeletesOmissions38(t *testing.T) {
	base := must(t, two(t), `update `+ge0+`/config/enabled false`)
	got := must(t, base, `replace `+ge0+`/config {"mtu":1400}`)
	for path, want := range map[string]string{"/config/enabled": "true", "/config/description": "<absent>", "/config/mtu": "1400", "/config/name": "ge0"} {
		if v := value(t, got, ge0+path); v != want {
			t.Errorf("%s is %s, want %s", path, v, want)
		}
	}
	got = must(t, two(t), `replace `+ge1+` {"name":"ge1","config":{"description":"d"}}`)
	if v := value(t, got, ge1+"/subinterfaces/subinterface[index=0]/config/description"); v != "<absent>" {
		t.Errorf("a subinterface survived the replacement of its interface: %s", v)
	}
	got = must(t, two(t), `replace / {}`)
	if !got.Empty() {
		t.Errorf("replace of / by {} left %s", got.JSON())
	}
}

func TestReplaceIsNetChange39(t *testing.T) {
	base := two(t)
	_, changes, err := apply(base, at(9), `replace `+ge0+` {"name":"ge0","config":{"name":"ge0","mtu":1500,"description":"new"}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{ge0 + "/config/description: zero → new"}
	if got := changed(changes); !slices.Equal(got, want) {
		t.Errorf("changes %v, want %v", got, want)
	}
	l, _ := tree.View{changes.New}.Lookup(resolve(t, ge0+"/config/mtu"))
	if !l.At.Equal(at(1)) {
		t.Errorf("the unchanged mtu has a new timestamp %v", l.At)
	}
	same, changes, err := apply(base, at(9), "replace / "+string(base.JSON()))
	if err != nil || !changes.Empty() || same != base {
		t.Errorf("replacing everything by itself: %v, %v", err, changed(changes))
	}
	_, changes, err = apply(base, at(9), `delete `+ge0, `update `+ge0+`/config {"mtu":1500,"description":"zero"}`)
	if err != nil || !changes.Empty() {
		t.Errorf("delete and the same again: %v, %v", err, changed(changes))
	}
}

func TestDeleteOfAbsentSucceeds40(t *testing.T) {
	base := two(t)
	for _, path := range []string{"/interfaces/interface[name=nope]", ge0 + "/config/type", "/system/config/hostname", "/network-instances"} {
		if got := must(t, base, "delete "+path); got != base {
			t.Errorf("delete %s changed something", path)
		}
	}
}

func TestKeyContradiction41(t *testing.T) {
	for _, op := range []string{
		`update ` + ge0 + `/config/name "ge9"`, `update ` + ge0 + `/config {"name":"ge9"}`, `replace ` + ge0 + ` {"name":"ge9"}`,
		`replace ` + ge0 + ` {"name":"ge0","config":{"name":"ge9"}}`, `update /interfaces {"interface":[{"name":"ge0","config":{"name":"ge9"}}]}`,
		`update ` + ge0 + `/name "ge9"`, `update ` + ge0 + `/subinterfaces/subinterface[index=0]/config/index 1`,
	} {
		if err := refusal(t, two(t), op); err.Kind != schema.BadValue || !strings.Contains(err.Reason, "contradicts") {
			t.Errorf("%s: %v", op, err)
		}
	}
	got := must(t, tree.NewConfig(model()), `update `+ge0+`/config/name "ge0"`)
	if v := value(t, got, ge0+"/name"); v != "ge0" {
		t.Errorf("the key leaf is %s", v)
	}
}

func TestEntryIsMadeByItsPath(t *testing.T) {
	got, changes, err := apply(tree.NewConfig(model()), at(1), `update `+static+`[prefix=10.0.0.0/8]/next-hops/next-hop[index=a]/config/next-hop "192.0.2.1"`)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"openconfig-network-instance:network-instances":{"network-instance":[{"name":"DEFAULT","config":{"name":"DEFAULT"},"protocols":{"protocol":[{"identifier":"openconfig-policy-types:STATIC","name":"DEFAULT","config":{"identifier":"openconfig-policy-types:STATIC","name":"DEFAULT"},"static-routes":{"static":[{"prefix":"10.0.0.0/8","config":{"prefix":"10.0.0.0/8"},"next-hops":{"next-hop":[{"index":"a","config":{"index":"a","next-hop":"192.0.2.1"}}]}}]}}]}}]}}`
	if doc := string(got.JSON()); doc != want {
		t.Errorf("got  %s\nwant %s", doc, want)
	}
	if n := len(changes.Leaves()); n != 11 {
		t.Errorf("%d changes: %v", n, changed(changes))
	}
}

func TestDeleteConfigContainerKeepsTheEntry(t *testing.T) {
	got, changes, err := apply(two(t), at(5), `delete `+ge0+`/config`)
	if err != nil {
		t.Fatal(err)
	}
	if v := value(t, got, ge0+"/config/name"); v != "ge0" {
		t.Errorf("config/name is %s", v)
	}
	if len(changes.Leaves()) != 2 {
		t.Errorf("changes: %v", changed(changes))
	}
}

func TestModuleNamesInJSON(t *testing.T) {
	plain := must(t, tree.NewConfig(model()), `update / {"interfaces":{"interface":[{"name":"ge0","subinterfaces":{"subinterface":[{"index":0,"ipv4":{"addresses":{"address":[{"ip":"192.0.2.1","config":{"prefix-length":24}}]}}}]}}]}}`)
	full := must(t, tree.NewConfig(model()), `update / {"openconfig-interfaces:interfaces":{"interface":[{"name":"ge0","config":{"type":"iana-if-type:ethernetCsmacd"},"subinterfaces":{"subinterface":[{"index":0,"openconfig-if-ip:ipv4":{"addresses":{"address":[{"ip":"192.0.2.1","config":{"prefix-length":24}}]}}}]}}]}}`,
		`update /interfaces {"openconfig-interfaces:interface":[{"name":"ge0","config":{"type":"ethernetCsmacd"}}]}`)
	if got := must(t, plain, `update `+ge0+`/config/type "ethernetCsmacd"`); string(got.JSON()) != string(full.JSON()) {
		t.Errorf("with and without modules differ:\n%s\n%s", got.JSON(), full.JSON())
	}
}
