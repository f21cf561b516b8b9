// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/openconfig/goyang/pkg/yang"
)

// Type is the type of a leaf, with typedefs and leafrefs resolved away.
type Type struct {
	// name is the typedef's name, or the built-in type's.
	name string
	kind ValueKind
	// members of a union, in order; kind is None then.
	members []*Type
	// spans bound numbers: integers as they are, decimals scaled by their fraction digits.
	spans []span
	// lengths bound strings in characters and binaries in octets.
	lengths    []span
	patterns   []*pattern
	names      map[string]int
	identities map[string]identity
	digits     uint8
	// canonical rewrites an accepted text, nil when a value has one text only.
	canonical func(string) string
}

// span is an inclusive range of numbers beyond both int64 and uint64.
type span struct{ min, max number }

// number is a whole number between -2^63 and 2^64-1.
type number struct {
	negative bool
	// size is the absolute value.
	size uint64
}

func (a number) compare(b number) int {
	switch {
	case a.negative && !b.negative:
		return -1
	case !a.negative && b.negative:
		return 1
	case a.negative:
		return cmp.Compare(b.size, a.size)
	}
	return cmp.Compare(a.size, b.size)
}

func within(spans []span, n number) bool {
	return len(spans) == 0 || slices.ContainsFunc(spans, func(s span) bool {
		return s.min.compare(n) <= 0 && n.compare(s.max) <= 0
	})
}

// pattern keeps the YANG text for the error message.
type pattern struct {
	text   string
	regexp *regexp.Regexp
}

// identity is one value of an identityref; unique is false when another module has one of the same name.
type identity struct {
	// qualified is module:name.
	qualified string
	unique    bool
}

// Name is the typedef's name, or the built-in type's.
func (t *Type) Name() string { return t.name }

// Kind is None for a union.
func (t *Type) Kind() ValueKind { return t.kind }

// Members are a union's types.
func (t *Type) Members() []*Type { return t.members }

// Names lists what an enumeration, a set of bits or an identityref accepts, sorted, without modules.
func (t *Type) Names() []string {
	if t.identities != nil {
		names := slices.Sorted(maps.Keys(t.identities))
		return slices.DeleteFunc(names, func(s string) bool { return strings.Contains(s, ":") })
	}
	return slices.Sorted(maps.Keys(t.names))
}

// kindOf is None for a type that is not served.
func kindOf(k yang.TypeKind) ValueKind {
	return map[yang.TypeKind]ValueKind{
		yang.Yint8: Int8, yang.Yint16: Int16, yang.Yint32: Int32, yang.Yint64: Int64,
		yang.Yuint8: Uint8, yang.Yuint16: Uint16, yang.Yuint32: Uint32, yang.Yuint64: Uint64,
		yang.Ydecimal64: Decimal64, yang.Ystring: String, yang.Ybool: Bool, yang.Yenum: Enum,
		yang.Yidentityref: Identity, yang.Ybinary: Binary, yang.Ybits: Bits, yang.Yempty: Empty,
	}[k]
}

func (c *compiler) types(n *Node) {
	if n.IsLeaf() && n.typ == nil {
		n.typ = c.typeOf(n, 0)
	}
}

// typeOf follows leafrefs to the type of their target.
func (c *compiler) typeOf(n *Node, hops int) *Type {
	switch {
	case hops > 32:
		c.fail(n.path, "its leafref goes round in a circle")
		return &Type{}
	case n.ref != nil:
		return c.typeOf(n.ref.target, hops+1)
	case n.typ != nil:
		return n.typ
	}
	return c.newType(n.path, c.sources[n].Type)
}

func (c *compiler) newType(path string, y *yang.YangType) *Type {
	t := &Type{name: y.Name, digits: uint8(y.FractionDigits), canonical: canonicalOf(y.Name)}
	if y.Kind == yang.Yunion {
		for _, m := range y.Type {
			if m.Path != "" {
				c.fail(path, "a leafref inside a union is not supported")
				return t
			}
			t.members = append(t.members, c.newType(path, m))
		}
		return t
	}
	if t.kind = kindOf(y.Kind); t.kind == None {
		c.fail(path, "the type %s is not supported", y.Name)
		return t
	}
	t.spans = spans(y.Range)
	t.lengths = spans(y.Length)
	c.patterns(path, t, y)
	switch t.kind {
	case Enum:
		t.names = ordinals(y.Enum)
	case Bits:
		t.names = ordinals(y.Bit)
	case Identity:
		t.identities = identities(y.IdentityBase)
	}
	return t
}

func (c *compiler) patterns(path string, t *Type, y *yang.YangType) {
	for _, text := range y.Pattern {
		re, err := compilePattern(text)
		if err != nil {
			c.fail(path, "its pattern %q: %v", text, err)
			continue
		}
		t.patterns = append(t.patterns, &pattern{text: text, regexp: re})
	}
}

func spans(r yang.YangRange) []span {
	var out []span
	for _, part := range r {
		out = append(out, span{
			min: number{negative: part.Min.Negative, size: part.Min.Value},
			max: number{negative: part.Max.Negative, size: part.Max.Value},
		})
	}
	return out
}

func ordinals(e *yang.EnumType) map[string]int {
	out := map[string]int{}
	for _, name := range e.Names() {
		out[name] = int(e.Value(name))
	}
	return out
}

// identities has each value under its name and under module:name.
func identities(base *yang.Identity) map[string]identity {
	out := map[string]identity{}
	for _, v := range base.Values {
		module := yang.RootNode(v).Name
		_, twice := out[v.Name]
		qualified := module + ":" + v.Name
		out[v.Name] = identity{qualified: qualified, unique: !twice}
		out[qualified] = identity{qualified: qualified, unique: true}
	}
	return out
}

// length counts characters of text and octets of binaries.
func (t *Type) length(s string) number {
	if t.kind == Binary {
		return number{size: uint64(len(s))}
	}
	return number{size: uint64(utf8.RuneCountInString(s))}
}
