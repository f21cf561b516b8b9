// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"fmt"
	"testing"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// many has n interfaces, each with a subinterface and two addresses, and n static routes out of them.
func many(b testing.TB, n int) *tree.Tree {
	e := tree.NewConfig(model()).Edit(at(1))
	for i := range n {
		name := fmt.Sprintf("/interfaces/interface[name=eth%d]", i)
		doc := fmt.Sprintf(`{"config":{"mtu":1500,"description":"port %d"},"subinterfaces":{"subinterface":[{"index":0,"ipv4":{"addresses":{"address":[{"ip":"10.%d.%d.1","config":{"prefix-length":24}}]}},"ipv6":{"addresses":{"address":[{"ip":"2001:db8:%x::1","config":{"prefix-length":64}}]}}}]}}`, i, i/256, i%256, i)
		if err := e.Update(gpath.MustParse(name), ietf(doc)); err != nil {
			b.Fatal(err)
		}
		route := fmt.Sprintf("%s[prefix=20.%d.%d.0/24]/next-hops/next-hop[index=a]/interface-ref/config/interface", static, i/256, i%256)
		if err := e.Update(gpath.MustParse(route), ietf(fmt.Sprintf(`"eth%d"`, i))); err != nil {
			b.Fatal(err)
		}
	}
	t, _, err := e.Commit()
	if err != nil {
		b.Fatal(err)
	}
	return t
}

// BenchmarkSetLeaf is everything this layer does for a Set of one leaf: merge, validate, difference, the owner's object.
func BenchmarkSetLeaf(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("interfaces=%d", n), func(b *testing.B) {
			t := many(b, n)
			path := gpath.MustParse("/interfaces/interface[name=eth7]/config/mtu")
			patterns := []schema.Path{resolve(b, "/interfaces/interface"), resolve(b, "/network-instances")}
			for i := 0; b.Loop(); i++ {
				e := t.Edit(at(2))
				if err := e.Update(path, ietf(fmt.Sprint(1000+i%1000))); err != nil {
					b.Fatal(err)
				}
				next, changes, err := e.Commit()
				if err != nil {
					b.Fatal(err)
				}
				if objects, _ := changes.Objects(patterns); len(objects) != 1 {
					b.Fatal(objects)
				}
				t = next
			}
		})
	}
}

func BenchmarkGetLeaf(b *testing.B) {
	t := many(b, 1000)
	request := gpath.MustParse("/interfaces/interface[name=eth7]/config/mtu")
	view := tree.View{t, tree.NewState(model())}
	for b.Loop() {
		p, err := model().Resolve(request)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := view.RenderJSON(p, tree.All, schema.JSONIETF); !ok {
			b.Fatal("absent")
		}
	}
}

// BenchmarkWalk reports leaves per second as gNMI updates, the work of a ONCE subscription in this layer.
func BenchmarkWalk(b *testing.B) {
	view := tree.View{many(b, 1000), tree.NewState(model())}
	leaves := 0
	for b.Loop() {
		leaves += len(view.Updates(nil, tree.All, schema.Proto))
	}
	b.ReportMetric(float64(leaves)/b.Elapsed().Seconds(), "leaves/s")
}

func BenchmarkReplaceRoot(b *testing.B) {
	t := many(b, 1000)
	doc := ietf(string(t.JSON()))
	b.SetBytes(int64(len(doc.GetJsonIetfVal())))
	for b.Loop() {
		e := t.Edit(at(2))
		if err := e.Replace(&gnmi.Path{}, doc); err != nil {
			b.Fatal(err)
		}
		if _, _, err := e.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRenderRoot(b *testing.B) {
	t := many(b, 1000)
	for b.Loop() {
		b.SetBytes(int64(len(t.JSON())))
	}
}

// BenchmarkTelemetry is one counter of one of 1,000 interfaces, one notification each, one version each.
func BenchmarkTelemetry(b *testing.B) {
	t := tree.NewState(model())
	var paths []*gnmi.Path
	for i := range 1000 {
		paths = append(paths, gpath.MustParse(fmt.Sprintf("/interfaces/interface[name=eth%d]/state/counters/in-pkts", i)))
	}
	for i := 0; b.Loop(); i++ {
		e := t.EditState()
		n := &gnmi.Notification{Timestamp: int64(i), Update: []*gnmi.Update{{Path: paths[i%1000], Val: number(uint64(i))}}}
		if errs := e.Put(ports, n); errs != nil {
			b.Fatal(errs)
		}
		t, _ = e.Commit()
	}
}
