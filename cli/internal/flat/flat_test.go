// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package flat

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

func TestLeaves(t *testing.T) {
	for _, c := range []struct {
		desc, at, value string
		want            [][2]string
	}{
		{"a leaf", "/system/config/hostname", `"leaf1"`, [][2]string{{"/system/config/hostname", "leaf1"}}},
		{"a number stays exact", "/x", `12345678901234567890`, [][2]string{{"/x", "12345678901234567890"}}},
		{"a leaf-list", "/x", `{"m:l": ["a", "b"]}`, [][2]string{{"/x/l", "a b"}}},
		{"an empty list", "/x", `{"l": []}`, [][2]string{{"/x/l", ""}}},
		{"two keys", "/p", `{"protocol": [{"identifier": "m-t:STATIC", "name": "s", "config": {"a": true}}]}`, [][2]string{
			{"/p/protocol[identifier=STATIC][name=s]/config/a", "true"},
			{"/p/protocol[identifier=STATIC][name=s]/identifier", "m-t:STATIC"},
			{"/p/protocol[identifier=STATIC][name=s]/name", "s"}}},
		{"lists in lists", "/i", `{"s": [{"index": 0, "a": [{"ip": "::1", "n": {"v": 1}}]}]}`, [][2]string{
			{"/i/s[index=0]/a[ip=::1]/ip", "::1"}, {"/i/s[index=0]/a[ip=::1]/n/v", "1"}, {"/i/s[index=0]/index", "0"}}},
		{"an IPv6 address is no identity", "/i", `{"a": [{"ip": "fe80:ABCD"}]}`, [][2]string{{"/i/a[ip=fe80:ABCD]/ip", "fe80:ABCD"}}},
	} {
		t.Run(c.desc, func(t *testing.T) {
			got, err := Leaves(gpath.MustParse(c.at), &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(c.value)}})
			if err != nil {
				t.Fatal(err)
			}
			var pairs [][2]string
			for _, l := range got {
				pairs = append(pairs, [2]string{l.Path, l.Value})
			}
			if diff := cmp.Diff(c.want, pairs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestJSONOfEveryKind(t *testing.T) {
	for want, v := range map[string]*gnmi.TypedValue{
		`"a"`:     {Value: &gnmi.TypedValue_StringVal{StringVal: "a"}},
		`-1`:      {Value: &gnmi.TypedValue_IntVal{IntVal: -1}},
		`1`:       {Value: &gnmi.TypedValue_UintVal{UintVal: 1}},
		`true`:    {Value: &gnmi.TypedValue_BoolVal{BoolVal: true}},
		`1.5`:     {Value: &gnmi.TypedValue_DoubleVal{DoubleVal: 1.5}},
		`"AQI="`:  {Value: &gnmi.TypedValue_BytesVal{BytesVal: []byte{1, 2}}},
		`{"a":1}`: {Value: &gnmi.TypedValue_JsonVal{JsonVal: []byte(`{"a":1}`)}},
		`null`:    {},
		`["a",2]`: {Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: &gnmi.ScalarArray{Element: []*gnmi.TypedValue{
			{Value: &gnmi.TypedValue_StringVal{StringVal: "a"}}, {Value: &gnmi.TypedValue_UintVal{UintVal: 2}}}}}},
	} {
		if got, err := JSON(v); err != nil || string(got) != want {
			t.Errorf("%v: %s, %v; want %s", v, got, err, want)
		}
	}
}

func TestAssignment(t *testing.T) {
	for _, c := range []struct{ text, path, value string }{
		{"/a/b=c", "/a/b", `"c"`},
		{"/a[k=v]/b=1500", "/a[k=v]/b", "1500"},
		{`/a[k=v\]=w]/b=true`, `/a[k=v\]=w]/b`, "true"},
		{"/a=x=y", "/a", `"x=y"`},
		{`/a="42"`, "/a", `"42"`},
		{"/a=192.0.2.0/24", "/a", `"192.0.2.0/24"`},
		{`/a={"b": [1]}`, "/a", `{"b": [1]}`},
	} {
		u, err := Assignment(c.text)
		if err != nil || string(u.GetVal().GetJsonIetfVal()) != c.value || !proto.Equal(u.GetPath(), gpath.MustParse(c.path)) {
			t.Errorf("%s: %v, %v; want %s = %s", c.text, u, err, c.path, c.value)
		}
	}
	for _, text := range []string{"", "/a", "/a=", "/a[b=c", `/a={"b"`, "/a=[1", "//=1"} {
		if u, err := Assignment(text); err == nil {
			t.Errorf("%q was read as %v", text, u)
		}
	}
}

// TestAssignmentReturnsItsPath: whatever is in a key, the path comes back as it was written.
func TestAssignmentReturnsItsPath(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := &gnmi.Path{Elem: []*gnmi.PathElem{{Name: "a", Key: map[string]string{"k": rapid.String().Draw(rt, "key")}}, {Name: "b"}}}
		u, err := Assignment(gpath.String(want) + "=1")
		if err != nil || !proto.Equal(u.GetPath(), want) {
			rt.Fatalf("%v, %v; want %v", u, err, want)
		}
	})
}
