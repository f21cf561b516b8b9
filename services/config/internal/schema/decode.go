// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strconv"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
)

// DecodeAt is Decode for a path that is only written as text if there is an error.
func (n *Node) DecodeAt(path Path, tv *gnmi.TypedValue) (Value, error) {
	v, err := n.Decode("", tv)
	if e, ok := err.(*Error); ok {
		e.Path = path.String()
	}
	return v, err
}

// Decode reads a leaf's or leaf-list's value from any scalar, JSON or JSON_IETF value and validates it.
// path is only used in the error, which has the kind BadValue or Unsupported.
func (n *Node) Decode(path string, tv *gnmi.TypedValue) (Value, error) {
	switch v := tv.GetValue().(type) {
	case *gnmi.TypedValue_JsonVal:
		return n.DecodeJSON(path, v.JsonVal, JSON)
	case *gnmi.TypedValue_JsonIetfVal:
		return n.DecodeJSON(path, v.JsonIetfVal, JSONIETF)
	case *gnmi.TypedValue_LeaflistVal:
		if n.kind != LeafList {
			return Value{}, refuse(BadValue, path, "a list of values was given for a single leaf")
		}
		var items []Value
		for _, element := range v.LeaflistVal.GetElement() {
			item, err := n.decodeScalar(path, element)
			if err != nil {
				return Value{}, err
			}
			items = append(items, item)
		}
		return n.collect(path, items)
	}
	if n.kind == LeafList {
		return Value{}, refuse(BadValue, path, "a leaf-list takes leaflist_val or a JSON array")
	}
	return n.decodeScalar(path, tv)
}

func (n *Node) decodeScalar(path string, tv *gnmi.TypedValue) (Value, error) {
	lexical, ok, err := scalar(path, tv)
	if err != nil {
		return Value{}, err
	}
	if v, accepted := n.typ.decode(lexical, ok); accepted {
		return v, nil
	}
	return Value{}, refuse(BadValue, path, "%s", n.typ.complaint(lexical))
}

// scalar gives the lexical form of a scalar and which types may be written in this way.
func scalar(path string, tv *gnmi.TypedValue) (lexical string, ok func(*Type) bool, err error) {
	textual := func(t *Type) bool {
		return t.kind == String || t.kind == Enum || t.kind == Identity || t.kind == Bits
	}
	whole := func(t *Type) bool { return t.kind.signed() || t.kind.unsigned() }
	only := func(k ValueKind) func(*Type) bool { return func(t *Type) bool { return t.kind == k } }
	switch v := tv.GetValue().(type) {
	case *gnmi.TypedValue_StringVal:
		return v.StringVal, textual, nil
	case *gnmi.TypedValue_IntVal:
		return strconv.FormatInt(v.IntVal, 10), whole, nil
	case *gnmi.TypedValue_UintVal:
		return strconv.FormatUint(v.UintVal, 10), whole, nil
	case *gnmi.TypedValue_BoolVal:
		if v.BoolVal {
			return "true", func(t *Type) bool { return t.kind == Bool || t.kind == Empty }, nil
		}
		return "false", only(Bool), nil
	case *gnmi.TypedValue_BytesVal:
		return string(v.BytesVal), only(Binary), nil
	case *gnmi.TypedValue_DoubleVal:
		return strconv.FormatFloat(v.DoubleVal, 'f', -1, 64), only(Decimal64), nil
	case *gnmi.TypedValue_FloatVal:
		//lint:ignore SA1019 older clients send it
		return strconv.FormatFloat(float64(v.FloatVal), 'f', -1, 32), only(Decimal64), nil
	case *gnmi.TypedValue_DecimalVal:
		//lint:ignore SA1019 older clients send it
		d := v.DecimalVal
		if d.GetPrecision() > 18 {
			return "", nil, refuse(BadValue, path, "a decimal of precision %d is out of range", d.GetPrecision())
		}
		return decimalText(d.GetDigits(), int(d.GetPrecision())), only(Decimal64), nil
	case nil:
		return "", nil, refuse(BadValue, path, "the value is missing")
	}
	return "", nil, refuse(Unsupported, path, "a value of this form (%T) is not supported", tv.GetValue())
}

// collect makes a leaf-list out of its items, which must differ (RFC 7950 §7.7).
func (n *Node) collect(path string, items []Value) (Value, error) {
	seen := map[string]bool{}
	for _, item := range items {
		text := string(item.AppendJSON(nil, JSONIETF))
		if n.class == Config && seen[text] {
			return Value{}, refuse(BadValue, path, "the leaf-list has %s twice", text)
		}
		seen[text] = true
	}
	return Value{kind: Many, many: &items}, nil
}

// DecodeJSON reads the value from JSON text in the encoding (JSON or JSONIETF).
func (n *Node) DecodeJSON(path string, text []byte, enc Encoding) (Value, error) {
	d, err := ParseDocument(text)
	if err != nil {
		return Value{}, refuse(BadValue, path, "%v", err)
	}
	return n.DecodeDocument(path, d, enc)
}

// DecodeDocument is DecodeJSON for a value that is parsed.
func (n *Node) DecodeDocument(path string, d *Document, enc Encoding) (Value, error) {
	if n.kind != LeafList {
		return n.decodeItem(path, d, enc)
	}
	if d.Kind != Array {
		return Value{}, refuse(BadValue, path, "a leaf-list takes a JSON array, not %s", d.Kind)
	}
	var items []Value
	for _, element := range d.Items {
		item, err := n.decodeItem(path, element, enc)
		if err != nil {
			return Value{}, err
		}
		items = append(items, item)
	}
	return n.collect(path, items)
}

func (n *Node) decodeItem(path string, d *Document, enc Encoding) (Value, error) {
	var ok func(*Type) bool
	switch d.Kind {
	case Text:
		// RFC 7951 writes 64-bit numbers as strings; plain JSON may.
		ok = func(t *Type) bool { return t.kind != Bool && t.kind != Empty && (t.kind.wide() || !t.number()) }
	case Number:
		ok = func(t *Type) bool { return t.number() && (enc == JSON || !t.kind.wide()) }
	case Boolean:
		ok = func(t *Type) bool { return t.kind == Bool }
	case Array:
		if len(d.Items) == 1 && d.Items[0].Kind == Null {
			ok = func(t *Type) bool { return t.kind == Empty }
		}
	}
	if ok == nil {
		return Value{}, refuse(BadValue, path, "a leaf's value cannot be %s", d.Kind)
	}
	if v, accepted := n.typ.decodeText(d.Text, ok); accepted {
		return v, nil
	}
	if d.Kind == Number && enc == JSONIETF && n.typ.kind.wide() {
		return Value{}, refuse(BadValue, path, "JSON_IETF writes 64-bit numbers and decimals as strings (RFC 7951 §6.1): \"%s\"", d.Text)
	}
	return Value{}, refuse(BadValue, path, "%s", n.typ.complaint(d.Text))
}

func anyType(*Type) bool { return true }

// DecodeText reads the value from its lexical form, as in a path's key. Leaf-lists have none.
func (n *Node) DecodeText(path, text string) (Value, error) {
	if n.kind == LeafList {
		return Value{}, refuse(BadValue, path, "a leaf-list has no single text")
	}
	if v, ok := n.typ.decodeText(text, anyType); ok {
		return v, nil
	}
	return Value{}, refuse(BadValue, path, "%s", n.typ.complaint(text))
}
