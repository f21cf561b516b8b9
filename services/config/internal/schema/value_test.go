// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"errors"
	"strings"
	"testing"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

func TestJSONValues(t *testing.T) {
	const none = "" // refused
	for _, test := range []struct{ typ, in, ietf, plain string }{
		// type, JSON_IETF in, JSON_IETF out, JSON out
		{"boolean;", `true`, `true`, `true`},
		{"boolean;", `"true"`, none, none},
		{"uint8;", `255`, `255`, `255`},
		{"uint8;", `256`, none, none},
		{"uint8;", `"5"`, none, none},
		{"uint8;", `-1`, none, none},
		{"uint8;", `1.0`, none, none},
		{"uint8;", `1e2`, none, none},
		{"int8;", `-128`, `-128`, `-128`},
		{"int8;", `-0`, `0`, `0`},
		{"int32 { range \"-5..-1 | 3..4\"; }", `-5`, `-5`, `-5`},
		{"int32 { range \"-5..-1 | 3..4\"; }", `0`, none, none},
		{"uint64;", `"18446744073709551615"`, `"18446744073709551615"`, `18446744073709551615`},
		{"uint64;", `"18446744073709551616"`, none, none},
		{"uint64;", `"007"`, none, none},
		{"uint64;", `7`, none, none},
		{"int64;", `"-9223372036854775808"`, `"-9223372036854775808"`, `-9223372036854775808`},
		{"int64;", `"9223372036854775808"`, none, none},
		{"decimal64 { fraction-digits 2; }", `"3.10"`, `"3.1"`, `3.1`},
		{"decimal64 { fraction-digits 2; }", `"-0.05"`, `"-0.05"`, `-0.05`},
		{"decimal64 { fraction-digits 2; }", `"3"`, `"3.0"`, `3.0`},
		{"decimal64 { fraction-digits 2; }", `"3.141"`, none, none},
		{"decimal64 { fraction-digits 2; range \"1.5..2.5\"; }", `"2.51"`, none, none},
		{"decimal64 { fraction-digits 2; }", `3.1`, none, none},
		{"decimal64 { fraction-digits 18; }", `"9.999999999999999999"`, none, none},
		{"string;", `"a\"\\\u00e9\n"`, `"a\"\\é\n"`, `"a\"\\é\n"`},
		{"string;", `5`, none, none},
		{"string { length \"2..3\"; }", `"éé"`, `"éé"`, `"éé"`},
		{"string { length \"2..3\"; }", `"abcd"`, none, none},
		{"string { pattern '[a-c]+'; pattern '.{2}'; }", `"ab"`, `"ab"`, `"ab"`},
		{"string { pattern '[a-c]+'; pattern '.{2}'; }", `"abc"`, none, none},
		{"string { pattern 'a|b'; }", `"ab"`, none, none},
		{"enumeration { enum UP; enum DOWN; }", `"UP"`, `"UP"`, `"UP"`},
		{"enumeration { enum UP; enum DOWN; }", `"up"`, none, none},
		{"enumeration { enum UP; enum DOWN; }", `0`, none, none},
		{"identityref { base base; }", `"t:two"`, `"t:two"`, `"two"`},
		{"identityref { base base; }", `"two"`, `"t:two"`, `"two"`},
		{"identityref { base base; }", `"u:two"`, none, none},
		{"identityref { base base; }", `"base"`, none, none},
		{"binary { length 3; }", `"AQID"`, `"AQID"`, `"AQID"`},
		{"binary { length 3; }", `"AQI="`, none, none},
		{"binary;", `"!"`, none, none},
		{"bits { bit a; bit b; bit c; }", `"c a"`, `"a c"`, `"a c"`},
		{"bits { bit a; bit b; }", `""`, `""`, `""`},
		{"bits { bit a; bit b; }", `"a a"`, none, none},
		{"bits { bit a; bit b; }", `"d"`, none, none},
		{"empty;", `[null]`, `[null]`, `[null]`},
		{"empty;", `null`, none, none},
		{"union { type uint32; type string; }", `5`, `5`, `5`},
		{"union { type uint32; type string; }", `"5"`, `"5"`, `"5"`},
		{"union { type uint64; type string; }", `"5"`, `"5"`, `5`},
		{"union { type uint8; type enumeration { enum auto; } type identityref { base base; } }", `"auto"`, `"auto"`, `"auto"`},
		{"union { type uint8; type enumeration { enum auto; } type identityref { base base; } }", `"one"`, `"t:one"`, `"one"`},
		{"union { type uint8; type enumeration { enum auto; } type identityref { base base; } }", `256`, none, none},
		{"union { type union { type boolean; type uint8; } type empty; }", `true`, `true`, `true`},
		{"string;", `{"a":1}`, none, none},
		{"string;", `["a"]`, none, none},
	} {
		n := leaf(t, test.typ)
		v, err := n.DecodeJSON("/x", []byte(test.in), schema.JSONIETF)
		if (err == nil) != (test.ietf != none) {
			t.Errorf("%s %s: error %v, want %q", test.typ, test.in, err, test.ietf)
			continue
		}
		if err != nil {
			var refused *schema.Error
			if !errors.As(err, &refused) || refused.Path != "/x" || refused.Kind != schema.BadValue {
				t.Errorf("%s %s: the error is %#v", test.typ, test.in, err)
			}
			continue
		}
		if got := string(v.AppendJSON(nil, schema.JSONIETF)); got != test.ietf {
			t.Errorf("%s %s: JSON_IETF %s, want %s", test.typ, test.in, got, test.ietf)
		}
		if got := string(v.AppendJSON(nil, schema.JSON)); got != test.plain {
			t.Errorf("%s %s: JSON %s, want %s", test.typ, test.in, got, test.plain)
		}
		roundTrip(t, n, v)
	}
}

// roundTrip: every way of writing a value reads back as the same value (a union's type is stable).
func roundTrip(t *testing.T, n *schema.Node, v schema.Value) {
	t.Helper()
	for _, enc := range []schema.Encoding{schema.JSON, schema.JSONIETF, schema.Proto} {
		again, err := n.Decode("/x", v.TypedValue(enc))
		if err != nil || (!again.Equal(v) && n.Type().Kind() != schema.None) {
			t.Errorf("%s (%s) in encoding %d comes back as %s: %v", v, n.Type().Name(), enc, again, err)
		}
	}
	if n.Type().Kind() == schema.None || n.Kind() == schema.LeafList || v.Kind() == schema.Empty {
		return
	}
	if again, err := n.DecodeText("/x", v.String()); err != nil || !again.Equal(v) {
		t.Errorf("the text %q comes back as %s: %v", v, again, err)
	}
}

func TestJSONMayWriteWideNumbersEitherWay22(t *testing.T) {
	n := leaf(t, "uint64;")
	for _, text := range []string{`7`, `"7"`} {
		if v, err := n.DecodeJSON("/x", []byte(text), schema.JSON); err != nil || v.Uint() != 7 {
			t.Errorf("JSON %s: %v, %v", text, v, err)
		}
	}
	_, err := n.DecodeJSON("/x", []byte(`7`), schema.JSONIETF)
	if err == nil || !strings.Contains(err.Error(), "RFC 7951") {
		t.Errorf("JSON_IETF 7: %v", err)
	}
}

func TestLeafLists26(t *testing.T) {
	m, err := load(t, "leaf-list x { type uint16; }")
	if err != nil {
		t.Fatal(err)
	}
	n := m.Root().Child("x")
	v, err := n.DecodeJSON("/x", []byte(`[3,1,2]`), schema.JSONIETF)
	if err != nil || string(v.AppendJSON(nil, schema.JSONIETF)) != `[3,1,2]` {
		t.Errorf("%v, %v", v, err)
	}
	roundTrip(t, n, v)
	if len(v.TypedValue(schema.Proto).GetLeaflistVal().GetElement()) != 3 {
		t.Error("PROTO writes no leaflist_val")
	}
	for _, bad := range []string{`3`, `[1,1]`, `[70000]`, `[null]`, `{}`} {
		if _, err := n.DecodeJSON("/x", []byte(bad), schema.JSONIETF); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestScalars23(t *testing.T) {
	number := &gnmi.TypedValue{Value: &gnmi.TypedValue_IntVal{IntVal: 7}}
	for _, test := range []struct {
		typ  string
		in   *gnmi.TypedValue
		want *gnmi.TypedValue // nil: refused
	}{
		{"uint32;", number, &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: 7}}},
		{"int32;", number, number},
		{"uint32;", &gnmi.TypedValue{Value: &gnmi.TypedValue_IntVal{IntVal: -7}}, nil},
		{"uint32;", &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: "7"}}, nil},
		{"string;", number, nil},
		{"boolean;", &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: false}}, &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{}}},
		{"decimal64 { fraction-digits 3; }", &gnmi.TypedValue{Value: &gnmi.TypedValue_DoubleVal{DoubleVal: 0.125}}, &gnmi.TypedValue{Value: &gnmi.TypedValue_DoubleVal{DoubleVal: 0.125}}},
		{"decimal64 { fraction-digits 2; }", &gnmi.TypedValue{Value: &gnmi.TypedValue_DoubleVal{DoubleVal: 0.125}}, nil},
		{"binary;", &gnmi.TypedValue{Value: &gnmi.TypedValue_BytesVal{BytesVal: []byte{1, 2}}}, &gnmi.TypedValue{Value: &gnmi.TypedValue_BytesVal{BytesVal: []byte{1, 2}}}},
		{"identityref { base base; }", &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: "one"}}, &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: "t:one"}}},
		{"string;", &gnmi.TypedValue{Value: &gnmi.TypedValue_AsciiVal{AsciiVal: "x"}}, nil},
		{"string;", &gnmi.TypedValue{}, nil},
		{"string;", nil, nil},
	} {
		v, err := leaf(t, test.typ).Decode("/x", test.in)
		if (err == nil) != (test.want != nil) {
			t.Errorf("%s %v: %v, %v", test.typ, test.in, v, err)
		} else if err == nil && !proto.Equal(v.TypedValue(schema.Proto), test.want) {
			t.Errorf("%s %v: %v, want %v", test.typ, test.in, v.TypedValue(schema.Proto), test.want)
		}
	}
}

func TestErrorsNameWhatIsTaken(t *testing.T) {
	for typ, want := range map[string]string{
		"uint8 { range \"1..9\"; }":                            `the value "x" is not a number (uint8) in 1..9`,
		"enumeration { enum b; enum a; }":                      `the value "x" is not one of a, b`,
		"identityref { base base; }":                           `the value "x" is not one of one, two`,
		"decimal64 { fraction-digits 1; range \"-0.5..10\"; }": `the value "x" is not a number (decimal64) in -0.5..10.0`,
		"union { type uint8; type boolean; }":                  `the value "x" is not a number (uint8) in 0..255 or true or false`,
	} {
		if _, err := leaf(t, typ).DecodeText("/x", "x"); err == nil || err.Error() != "/x: "+want {
			t.Errorf("%s: %v", typ, err)
		}
	}
}
