// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"errors"
	"testing"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// FuzzDocument: any document is refused, or makes a configuration that is the same when it is read back.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"interfaces":{"interface":[{"name":"ge0","config":{"mtu":1500}}]}}`))
	f.Add(two(f).JSON())
	f.Add([]byte(`{"openconfig-system:system":{"config":{"hostname":"x"}}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := tree.FromJSON(model(), doc, at(1))
		if err != nil {
			var refused *schema.Error
			if !errors.As(err, &refused) {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		again, err := tree.FromJSON(model(), got.JSON(), at(1))
		if err != nil || !tree.Diff(got, again).Empty() {
			t.Fatalf("%s\n%s\n%v", got.JSON(), again.JSON(), err)
		}
	})
}

// FuzzSet: any SetRequest is refused, or makes changes that undo each other.
func FuzzSet(f *testing.F) {
	for _, req := range []*gnmi.SetRequest{
		{Delete: []*gnmi.Path{gpath.MustParse("/interfaces/interface[name=*]/config")}},
		{Update: []*gnmi.Update{{Path: gpath.MustParse(ge0 + "/config/mtu"), Val: ietf("9")}}},
		{Replace: []*gnmi.Update{{Path: gpath.MustParse(ge1), Val: ietf(`{"config":{"description":"x"}}`)}}},
	} {
		wire, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	base := two(f)
	f.Fuzz(func(t *testing.T, wire []byte) {
		req := &gnmi.SetRequest{}
		if proto.Unmarshal(wire, req) != nil {
			return
		}
		e := base.Edit(at(2))
		if e.Apply(req) != nil {
			return
		}
		next, changes, err := e.Commit()
		if err != nil {
			return
		}
		if back := tree.Diff(next, base); len(back.Leaves()) != len(changes.Leaves()) {
			t.Fatalf("%d changes there, %d back", len(changes.Leaves()), len(back.Leaves()))
		}
	})
}
