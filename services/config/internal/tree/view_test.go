// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

func TestWalkIsInSchemaAndKeyOrder(t *testing.T) {
	var ops []string
	for _, i := range []int{10, 9, 2, 100} {
		ops = append(ops, fmt.Sprintf("update %s/subinterfaces/subinterface[index=%d]/config {}", ge0, i))
	}
	base := must(t, must(t, tree.NewConfig(model()), ops...), `update `+ge1+`/config {"mtu":9000}`)
	var got []string
	tree.View{base}.Walk(resolve(t, ge0+"/subinterfaces/subinterface/config/index"), tree.All, func(l *tree.Leaf) bool {
		got = append(got, l.Value.String())
		return true
	})
	if want := []string{"2", "9", "10", "100"}; !slices.Equal(got, want) {
		t.Errorf("indexes %v, want %v", got, want)
	}
	got = nil
	tree.View{base}.Walk(resolve(t, ge1), tree.OnlyConfig, func(l *tree.Leaf) bool {
		got = append(got, strings.TrimPrefix(gpath.String(l.GNMI()), ge1))
		return len(got) < 4
	})
	if want := []string{"/name", "/config/enabled", "/config/mtu", "/config/name"}; !slices.Equal(got, want) {
		t.Errorf("leaves %v, want %v", got, want)
	}
}

func TestReturnedPathsHaveAllKeys9(t *testing.T) {
	view := tree.View{two(t), state(t)}
	view.Walk(resolve(t, "/interfaces/interface"), tree.All, func(l *tree.Leaf) bool {
		p, err := model().Resolve(l.GNMI())
		if err != nil || !p.Complete() || !p.Equal(l.Path()) {
			t.Errorf("%v: %v", l.GNMI(), err)
		}
		return true
	})
	for _, p := range view.Find(resolve(t, "/interfaces/interface/subinterfaces/subinterface"), tree.All) {
		if p.String() != ge1+"/subinterfaces/subinterface[index=0]" || !p.Complete() {
			t.Errorf("found %s", p)
		}
	}
}

func TestPathsKeptFromAWalkStayAsTheyWere(t *testing.T) {
	var paths []string
	updates := tree.View{two(t)}.Updates(nil, tree.OnlyConfig, schema.Proto)
	for _, u := range updates {
		paths = append(paths, gpath.String(u.Path))
	}
	slices.Sort(paths)
	if len(slices.Compact(paths)) != len(updates) || len(updates) < 10 {
		t.Errorf("%d updates have the paths %v", len(updates), paths)
	}
}

func TestCountersAreNumbers24(t *testing.T) {
	for _, u := range (tree.View{state(t)}).Updates(resolve(t, ge0+"/state/counters"), tree.All, schema.Proto) {
		if u.Val.GetUintVal() != 10 {
			t.Errorf("%v", u)
		}
	}
}

func TestLeafJSONIsBare20(t *testing.T) {
	for path, want := range map[string]string{"/config/mtu": `1500`, "/config/description": `"zero"`, "/config/enabled": `true`, "/config/type": ``} {
		doc, ok := tree.View{two(t)}.RenderJSON(resolve(t, ge0+path), tree.All, schema.JSONIETF)
		if string(doc) != want || ok != (want != "") {
			t.Errorf("%s: %s, %v", path, doc, ok)
		}
	}
}

func TestListsRenderAsArrays(t *testing.T) {
	doc, ok := tree.View{two(t)}.RenderJSON(resolve(t, "/interfaces/interface"), tree.OnlyConfig, schema.JSON)
	want := `[{"name":"ge0","config":{"description":"zero","enabled":true,"mtu":1500,"name":"ge0"}},` +
		`{"name":"ge1","config":{"enabled":true,"mtu":1600,"name":"ge1"},"subinterfaces":{"subinterface":[{"index":0,"config":{"description":"one","enabled":true,"index":0},` +
		`"ipv4":{"config":{"enabled":true}},"ipv6":{"config":{"enabled":true}}}]}}]`
	if !ok || string(doc) != want {
		t.Errorf("got  %s\nwant %s", doc, want)
	}
	if doc, ok := (tree.View{two(t)}).RenderJSON(resolve(t, "/network-instances/network-instance"), tree.All, schema.JSON); ok || string(doc) != "[]" {
		t.Errorf("%s, %v", doc, ok)
	}
}

func TestAbsent13(t *testing.T) {
	view := tree.View{two(t), state(t)}
	for _, path := range []string{"/system", "/system/config/hostname", "/interfaces/interface[name=nope]", "/interfaces/interface[name=nope]/config/enabled", ge0 + "/config/type"} {
		if doc, ok := view.RenderJSON(resolve(t, path), tree.All, schema.JSONIETF); ok {
			t.Errorf("%s: %s", path, doc)
		}
		if found := view.Find(resolve(t, path), tree.All); found != nil {
			t.Errorf("%s: found %v", path, found)
		}
	}
}

func TestGetOfTheRoot19(t *testing.T) {
	doc, ok := tree.View{two(t), state(t)}.RenderJSON(nil, tree.All, schema.JSONIETF)
	if !ok || !strings.HasPrefix(string(doc), `{"openconfig-interfaces:interfaces":{"interface":[{"name":"ge0"`) {
		t.Errorf("%s", doc)
	}
	if doc, ok := (tree.View{tree.NewConfig(model())}).RenderJSON(nil, tree.All, schema.JSONIETF); ok {
		t.Errorf("the root of nothing: %s", doc)
	}
}

func TestObjectsOfOwners(t *testing.T) {
	patterns := []schema.Path{resolve(t, "/interfaces/interface"), resolve(t, "/system/config")}
	base := must(t, two(t), `update /system/config/hostname "a"`)
	_, changes, err := apply(base, at(2), `delete `+ge0, `update /interfaces/interface[name=ge2]/config {"mtu":1}`, `update /system/config/hostname "b"`,
		`update `+static+`[prefix=10.0.0.0/8]/config {}`)
	if err != nil {
		t.Fatal(err)
	}
	objects, orphans := changes.Objects(patterns)
	var got []string
	for _, o := range objects {
		got = append(got, fmt.Sprintf("%d %s: %s → %s", o.Pattern, o.Path, o.Old, o.New))
	}
	want := []string{
		`0 ` + ge0 + `: {"openconfig-interfaces:name":"ge0","openconfig-interfaces:config":{"description":"zero","enabled":true,"mtu":1500,"name":"ge0"}} → `,
		`0 /interfaces/interface[name=ge2]:  → {"openconfig-interfaces:name":"ge2","openconfig-interfaces:config":{"enabled":true,"mtu":1,"name":"ge2"}}`,
		`1 /system/config: {"openconfig-system:hostname":"a"} → {"openconfig-system:hostname":"b"}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if len(orphans) == 0 || !strings.HasPrefix(orphans[0].String(), "/network-instances/") {
		t.Errorf("orphans %v", orphans)
	}
	var snapshot []string
	for _, o := range base.Objects(patterns) {
		snapshot = append(snapshot, o.Path.String())
	}
	if want := []string{ge0, ge1, "/system/config"}; !slices.Equal(snapshot, want) {
		t.Errorf("snapshot %v, want %v", snapshot, want)
	}
}
