// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
)

// ValueKind is the type of a value, unions resolved.
type ValueKind uint8

const (
	None ValueKind = iota
	Bool
	Int8
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	Decimal64
	String
	Enum
	Identity
	Binary
	Bits
	Empty
	Many // a leaf-list
)

func (k ValueKind) signed() bool   { return k >= Int8 && k <= Int64 }
func (k ValueKind) unsigned() bool { return k >= Uint8 && k <= Uint64 }

// wide numbers are strings in RFC 7951 (§6.1).
func (k ValueKind) wide() bool { return k == Int64 || k == Uint64 || k == Decimal64 }

// Encoding is how values are written.
type Encoding uint8

const (
	// JSON: plain names, all numbers as numbers.
	JSON Encoding = iota + 1
	// JSONIETF: RFC 7951.
	JSONIETF
	// Proto: scalars in TypedValue (gNMI 0.11 §2.2.3).
	Proto
)

// Value is the canonical value of a leaf or a leaf-list. The zero Value is none. Values never change.
type Value struct {
	// str: String, Enum, Bits (names in order of position), Binary (the octets), Identity (module:name).
	str string
	// num: Bool, the integers, Decimal64 scaled by 10^digits; negative ones in two's complement.
	num    uint64
	many   *[]Value
	kind   ValueKind
	digits uint8
}

func (v Value) Kind() ValueKind { return v.kind }

// IsNone reports whether there is no value.
func (v Value) IsNone() bool { return v.kind == None }

// Uint is the number of an unsigned value or a Bool, else 0.
func (v Value) Uint() uint64 {
	if v.kind.unsigned() || v.kind == Bool {
		return v.num
	}
	return 0
}

// Int is the number of a signed value, else 0.
func (v Value) Int() int64 {
	if v.kind.signed() {
		return int64(v.num)
	}
	return 0
}

// Bool is the truth of a Bool, else false.
func (v Value) Bool() bool { return v.kind == Bool && v.num != 0 }

// Items are the values of a leaf-list. The slice is shared: do not change it.
func (v Value) Items() []Value {
	if v.many == nil {
		return nil
	}
	return *v.many
}

// Equal reports whether both are the same value of the same kind.
func (v Value) Equal(w Value) bool {
	return v.kind == w.kind && v.num == w.num && v.digits == w.digits && v.str == w.str &&
		slices.EqualFunc(v.Items(), w.Items(), Value.Equal)
}

// Compare orders values of one leaf: numbers by size, text bytewise, values of different kinds by kind.
func (v Value) Compare(w Value) int {
	switch {
	case v.kind != w.kind:
		return cmp.Compare(v.kind, w.kind)
	case v.kind.signed() || v.kind == Decimal64:
		return cmp.Compare(int64(v.num), int64(w.num))
	case v.num != w.num:
		return cmp.Compare(v.num, w.num)
	case v.str != w.str:
		return strings.Compare(v.str, w.str)
	}
	return slices.CompareFunc(v.Items(), w.Items(), Value.Compare)
}

// String is the value as in a path's key: canonical lexical form (RFC 7950), identities without module.
func (v Value) String() string {
	switch {
	case v.kind.signed():
		return strconv.FormatInt(int64(v.num), 10)
	case v.kind.unsigned():
		return strconv.FormatUint(v.num, 10)
	}
	switch v.kind {
	case Bool:
		return strconv.FormatBool(v.num != 0)
	case Decimal64:
		return decimalText(int64(v.num), int(v.digits))
	case Identity:
		return v.str[strings.IndexByte(v.str, ':')+1:]
	case Binary:
		return base64.StdEncoding.EncodeToString([]byte(v.str))
	case Many:
		texts := make([]string, len(v.Items()))
		for i, item := range v.Items() {
			texts[i] = item.String()
		}
		return "[" + strings.Join(texts, " ") + "]"
	}
	return v.str
}

func decimalText(scaled int64, digits int) string {
	text := strconv.FormatInt(scaled, 10)
	sign := ""
	if scaled < 0 {
		sign, text = "-", text[1:]
	}
	if pad := digits + 1 - len(text); pad > 0 {
		text = strings.Repeat("0", pad) + text
	}
	whole, fraction := text[:len(text)-digits], strings.TrimRight(text[len(text)-digits:], "0")
	if fraction == "" {
		fraction = "0"
	}
	return sign + whole + "." + fraction
}

// AppendJSON appends the value as JSON; enc is JSON or JSONIETF.
func (v Value) AppendJSON(dst []byte, enc Encoding) []byte {
	switch {
	case v.kind.wide() && enc == JSONIETF:
		return append(append(append(dst, '"'), v.String()...), '"')
	case v.kind.signed(), v.kind.unsigned(), v.kind == Bool, v.kind == Decimal64:
		return append(dst, v.String()...)
	}
	switch v.kind {
	case None:
		return append(dst, "null"...)
	case Empty:
		return append(dst, "[null]"...)
	case Many:
		dst = append(dst, '[')
		for i, item := range v.Items() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.AppendJSON(dst, enc)
		}
		return append(dst, ']')
	case Identity:
		if enc == JSONIETF {
			return appendString(dst, v.str)
		}
	}
	return appendString(dst, v.String())
}

// appendString writes a JSON string. Plain ASCII, nearly every string here, is copied as it is.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			text, _ := json.Marshal(s) // a string cannot fail
			return append(dst, text...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// TypedValue is the value for a gNMI update in the encoding.
func (v Value) TypedValue(enc Encoding) *gnmi.TypedValue {
	switch enc {
	case JSON:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonVal{JsonVal: v.AppendJSON(nil, enc)}}
	case JSONIETF:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: v.AppendJSON(nil, enc)}}
	}
	switch {
	case v.kind.signed():
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_IntVal{IntVal: int64(v.num)}}
	case v.kind.unsigned():
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: v.num}}
	}
	switch v.kind {
	case Bool:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: v.num != 0}}
	case Empty:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: true}}
	case Decimal64:
		f, _ := strconv.ParseFloat(v.String(), 64) // its own text parses
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_DoubleVal{DoubleVal: f}}
	case Binary:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BytesVal{BytesVal: []byte(v.str)}}
	case Identity:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: v.str}}
	case Many:
		list := &gnmi.ScalarArray{}
		for _, item := range v.Items() {
			list.Element = append(list.Element, item.TypedValue(enc))
		}
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: list}}
	}
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: v.String()}}
}
