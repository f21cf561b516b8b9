// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"encoding/json"
	"testing"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// FuzzPath: any path resolves to one that is the same when it is resolved again, or is refused.
func FuzzPath(f *testing.F) {
	for _, text := range []string{"/interfaces/interface[name=ge0]/config", "/.../mtu", "/*", "/system/config/hostname", "/a:b[c=d]"} {
		wire, err := proto.Marshal(gpath.MustParse(text))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		p := &gnmi.Path{}
		if proto.Unmarshal(wire, p) != nil {
			return
		}
		paths, err := model().Match(p)
		if err != nil && kindOf(err) == 0 {
			t.Fatalf("%v is no refusal", err)
		}
		for _, path := range paths {
			again, err := model().Resolve(path.GNMI())
			if err != nil || again.String() != path.String() {
				t.Fatalf("%s → %s, %v", path, again, err)
			}
		}
	})
}

// FuzzValue: any JSON that is taken is written so that it is taken again, as the same value.
func FuzzValue(f *testing.F) {
	for _, text := range []string{`1`, `"x"`, `[null]`, `"18446744073709551615"`, `true`, `1e3`, `-0`, `[1,2]`, `"192.0.2.1"`} {
		f.Add([]byte(text))
	}
	var leaves []*schema.Node
	for _, typ := range []string{
		"uint64;", "int8;", "decimal64 { fraction-digits 4; }", "string { length 1..5; pattern '[a-f0-9]*'; }", "binary;", "bits { bit a; bit b; }", "boolean;", "empty;",
		"union { type int32; type boolean; type string; }", "identityref { base base; }",
	} {
		leaves = append(leaves, leaf(f, typ))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, n := range leaves {
			for _, enc := range []schema.Encoding{schema.JSON, schema.JSONIETF} {
				v, err := n.DecodeJSON("/x", text, enc)
				if err != nil {
					continue
				}
				out := v.AppendJSON(nil, enc)
				again, err := n.DecodeJSON("/x", out, enc)
				if err != nil || !json.Valid(out) || !again.Equal(v) {
					t.Fatalf("%s as %s is %s, then %v, %v", text, n.Type().Name(), out, again, err)
				}
			}
		}
	})
}
