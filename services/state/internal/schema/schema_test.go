// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// build makes a type "t.Row" from fields given as "name:number:type", where type is int64, string, Sub or
// "[]Sub"; Sub has the fields of sub.
func build(t *testing.T, row, sub string) *Type {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("t.proto"), Package: proto.String("t"), Syntax: proto.String("proto3")}
	for name, fields := range map[string]string{"Row": row, "Sub": sub} {
		m := &descriptorpb.DescriptorProto{Name: proto.String(name)}
		for n, f := range strings.Fields(fields) {
			m.Field = append(m.Field, field(f, int32(n+1)))
		}
		file.MessageType = append(file.MessageType, m)
	}
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{file}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := Parse("t.Row", set)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func field(text string, number int32) *descriptorpb.FieldDescriptorProto {
	name, kind, _ := strings.Cut(text, ":")
	f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	if rest, ok := strings.CutPrefix(kind, "[]"); ok {
		kind, f.Label = rest, descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	switch kind {
	case "int64":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum()
	case "string":
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	default:
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String(".t."+kind)
	}
	return f
}

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		desc               string
		kept, keptSub      string
		declared, otherSub string
		want               string // "kept", "declared" or part of the error
	}{
		{"the same", "a:int64", "", "a:int64", "", "kept"},
		{"a field more", "a:int64", "", "a:int64 b:string", "", "declared"},
		{"a field less", "a:int64 b:string", "", "a:int64", "", "kept"},
		{"more below", "s:[]Sub", "x:int64", "s:[]Sub", "x:int64 y:int64", "declared"},
		{"less below", "s:Sub", "x:int64 y:int64", "s:Sub", "x:int64", "kept"},
		{"recursive", "s:Sub", "s:Sub x:int64", "s:Sub", "s:Sub x:int64 y:int64", "declared"},
		{"another kind", "a:int64", "", "a:string", "", "field t.Row.a is"},
		{"another name", "a:int64", "", "b:int64", "", "called"},
		{"repeated now", "a:int64", "", "a:[]int64", "", "field t.Row.a is"},
		{"each has its own", "s:Sub a:int64", "x:int64", "s:Sub", "x:int64 y:int64", "lacks"},
	} {
		t.Run(c.desc, func(t *testing.T) {
			kept, declared := build(t, c.kept, c.keptSub), build(t, c.declared, c.otherSub)
			got, err := Newer(kept, declared)
			switch {
			case err != nil:
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %q does not say %q", err, c.want)
				}
			case got == kept && c.want == "kept", got == declared && c.want == "declared":
			default:
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	row := build(t, "a:int64 s:Sub l:[]Sub", "x:int64")
	for _, c := range []struct {
		desc  string
		value []byte
		ok    bool
	}{
		{"empty", nil, true},
		{"a number", []byte{0x08, 5}, true},
		{"a message", []byte{0x12, 2, 0x08, 5}, true},
		{"torn", []byte{0x08}, false},
		{"unknown field", []byte{0x28, 5}, false},
		{"unknown field below", []byte{0x12, 2, 0x28, 5}, false},
		{"unknown field in a list", []byte{0x1a, 2, 0x28, 5}, false},
	} {
		t.Run(c.desc, func(t *testing.T) {
			if err := row.Check(c.value); (err == nil) != c.ok {
				t.Errorf("error %v, want ok %v", err, c.ok)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("t.Row", []byte("garbage"))
	f.Fuzz(func(t *testing.T, name string, set []byte) {
		if row, err := Parse(name, set); err == nil {
			_ = row.Check(set)
		}
	})
}
