// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
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
	str    string
	num    uint64
	many   *[]Value
	kind   ValueKind
	digits uint8
}

func (v Value) Kind() ValueKind { return v.kind }

// IsNone reports whether there is no value.
func (v Value) IsNone() bool { return v.kind == None }

// Equal reports whether both are the same value of the same kind.
func (v Value) Equal(w Value) bool { panic("declared") }

// Compare orders values of one leaf: numbers by size, text bytewise.
func (v Value) Compare(w Value) int { panic("declared") }

// String is the value as in a path's key: canonical lexical form, identities without module.
func (v Value) String() string { panic("declared") }

// AppendJSON appends the value as JSON; enc is JSON or JSONIETF.
func (v Value) AppendJSON(dst []byte, enc Encoding) []byte { panic("declared") }

// TypedValue is the value for a gNMI update in the encoding.
func (v Value) TypedValue(enc Encoding) *gnmi.TypedValue { panic("declared") }
