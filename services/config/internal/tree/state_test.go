// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"strings"
	"testing"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

func text(s string) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: s}}
}

func number(n uint64) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: n}}
}

// note builds a notification: pairs of path and value; a nil value deletes.
func note(when int64, pairs ...any) *gnmi.Notification {
	n := &gnmi.Notification{Timestamp: when}
	for i := 0; i < len(pairs); i += 2 {
		path := gpath.MustParse(pairs[i].(string))
		if v, ok := pairs[i+1].(*gnmi.TypedValue); ok {
			n.Update = append(n.Update, &gnmi.Update{Path: path, Val: v})
		} else {
			n.Delete = append(n.Delete, path)
		}
	}
	return n
}

const (
	ports  = tree.Publisher(1)
	engine = tree.Publisher(2)
)

// put applies notifications that must be taken whole.
func put(t *testing.T, base *tree.Tree, by tree.Publisher, notes ...*gnmi.Notification) (*tree.Tree, *tree.Changes) {
	t.Helper()
	e := base.EditState()
	for _, n := range notes {
		if errs := e.Put(by, n); len(errs) > 0 {
			t.Fatal(errs)
		}
	}
	return e.Commit()
}

func state(t *testing.T) *tree.Tree {
	s, _ := put(t, tree.NewState(model()), ports, note(5,
		ge0+"/state/name", text("ge0"), ge0+"/state/oper-status", text("UP"), ge0+"/state/mtu", number(1500), ge0+"/state/last-change", number(7)))
	s, _ = put(t, s, engine, note(6, ge0+"/state/counters/in-pkts", number(10), "/interfaces/interface[name=gone]/state/counters/in-pkts", number(1)))
	return s
}

func TestStateAndConfigurationReadAsOne(t *testing.T) {
	view := tree.View{two(t), state(t)}
	doc, ok := view.RenderJSON(resolve(t, ge0), tree.All, schema.JSONIETF)
	want := `{"openconfig-interfaces:name":"ge0","openconfig-interfaces:config":{"description":"zero","enabled":true,"mtu":1500,"name":"ge0"},"openconfig-interfaces:state":{"counters":{"in-pkts":"10"},"last-change":"7","mtu":1500,"name":"ge0","oper-status":"UP"}}`
	if !ok || string(doc) != want {
		t.Errorf("got  %s\nwant %s", doc, want)
	}
	for filter, want := range map[tree.Filter]string{
		tree.OnlyConfig:  `{"name":"ge0","config":{"description":"zero","enabled":true,"mtu":1500,"name":"ge0"}}`,
		tree.OnlyState:   `{"name":"ge0","state":{"counters":{"in-pkts":10},"last-change":7,"mtu":1500,"name":"ge0","oper-status":"UP"}}`,
		tree.Operational: `{"name":"ge0","state":{"counters":{"in-pkts":10},"last-change":7,"oper-status":"UP"}}`,
	} {
		if doc, _ := view.RenderJSON(resolve(t, ge0), filter, schema.JSON); string(doc) != want {
			t.Errorf("filter %d:\n got %s\nwant %s", filter, doc, want)
		}
	}
}

func TestStateOfUnconfiguredEntryHasNoDefaults(t *testing.T) {
	view := tree.View{two(t), state(t)}
	gone := resolve(t, "/interfaces/interface[name=gone]")
	if doc, ok := view.RenderJSON(gone, tree.OnlyConfig, schema.JSON); ok {
		t.Errorf("configuration of what is not configured: %s", doc)
	}
	doc, _ := view.RenderJSON(gone, tree.All, schema.JSON)
	if want := `{"name":"gone","state":{"counters":{"in-pkts":1}}}`; string(doc) != want {
		t.Errorf("got  %s\nwant %s", doc, want)
	}
	var names []string
	for _, p := range view.Find(resolve(t, "/interfaces/interface"), tree.All) {
		names = append(names, p.String())
	}
	if got := strings.Join(names, " "); got != ge0+" "+ge1+" /interfaces/interface[name=gone]" {
		t.Errorf("found %s", got)
	}
}

func TestUnchangedStateIsNoChange(t *testing.T) {
	base := state(t)
	next, changes := put(t, base, ports, note(50, ge0+"/state/mtu", number(1500)))
	if !changes.Empty() {
		t.Errorf("changes: %v", changed(changes))
	}
	if l, _ := (tree.View{next}).Lookup(resolve(t, ge0+"/state/mtu")); l.At.UnixNano() != 50 {
		t.Errorf("the newer event has the timestamp %v", l.At)
	}
}

func TestResyncMarksAndSweeps(t *testing.T) {
	e := state(t).EditState()
	e.Resync(ports)
	if errs := e.Put(ports, note(8, ge0+"/state/name", text("ge0"), ge0+"/state/oper-status", text("DOWN"))); errs != nil {
		t.Fatal(errs)
	}
	e.Sweep(ports)
	next, changes := e.Commit()
	got := strings.Join(changed(changes), "; ")
	want := ge0 + "/state/last-change: 7 → ; " + ge0 + "/state/mtu: 1500 → ; " + ge0 + "/state/oper-status: UP → DOWN"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, ok := (tree.View{next}).Lookup(resolve(t, ge0+"/state/counters/in-pkts")); !ok {
		t.Error("the leaf of another publisher was swept")
	}
	e = next.EditState()
	e.Drop(engine)
	e.Drop(ports)
	if empty, _ := e.Commit(); !empty.Empty() {
		t.Errorf("left: %s", empty.JSON())
	}
}

func TestOnePublisherForEachPath(t *testing.T) {
	base := state(t)
	e := base.EditState()
	errs := e.Put(engine, note(9, ge0+"/state/mtu", number(9000), ge0+"/state/counters/in-pkts", number(11)))
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "another publisher") {
		t.Errorf("errors: %v", errs)
	}
	if errs := e.Put(engine, note(9, ge0+"/state", nil)); errs != nil {
		t.Fatal(errs)
	}
	next, _ := e.Commit()
	if v := value(t, next, ge0+"/state/mtu"); v != "1500" {
		t.Errorf("mtu is %s", v)
	}
	if v := value(t, next, ge0+"/state/counters/in-pkts"); v != "<absent>" {
		t.Errorf("in-pkts is %s", v)
	}
}

func TestBadTelemetryIsReportedAndTheRestTaken(t *testing.T) {
	e := tree.NewState(model()).EditState()
	errs := e.Put(ports, note(1,
		ge0+"/state/mtu", text("x"), ge0+"/state/nonsense", number(1), ge0+"/config/mtu", number(1), ge0+"/state", number(1),
		"/interfaces/interface/state/mtu", number(1), "/dataplane/drops/drop[reason=a]/state/reason", text("b"), ge0+"/state/ifindex", number(3)))
	if len(errs) != 6 {
		t.Errorf("%d errors: %v", len(errs), errs)
	}
	s, changes := e.Commit()
	if v := value(t, s, ge0+"/state/ifindex"); v != "3" || len(changes.Leaves()) != 2 {
		t.Errorf("ifindex %s, changes %v", v, changed(changes))
	}
}
