// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package flat turns gNMI's values into lines of path and value, and back from what an operator types. Its functions are pure.
package flat

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// Leaf is one leaf of a tree.
type Leaf struct {
	Path  string `json:"path"`
	Value string `json:"value"`
	// At is Path taken apart.
	At *gnmi.Path `json:"-"`
}

// JSON returns a typed value as JSON text (RFC 7951 where the device sent that).
func JSON(v *gnmi.TypedValue) ([]byte, error) {
	switch v := v.GetValue().(type) {
	case *gnmi.TypedValue_JsonIetfVal:
		return v.JsonIetfVal, nil
	case *gnmi.TypedValue_JsonVal:
		return v.JsonVal, nil
	case *gnmi.TypedValue_StringVal:
		return json.Marshal(v.StringVal)
	case *gnmi.TypedValue_AsciiVal:
		return json.Marshal(v.AsciiVal)
	case *gnmi.TypedValue_IntVal:
		return json.Marshal(v.IntVal)
	case *gnmi.TypedValue_UintVal:
		return json.Marshal(v.UintVal)
	case *gnmi.TypedValue_BoolVal:
		return json.Marshal(v.BoolVal)
	case *gnmi.TypedValue_DoubleVal:
		return json.Marshal(v.DoubleVal)
	case *gnmi.TypedValue_BytesVal:
		return json.Marshal(base64.StdEncoding.EncodeToString(v.BytesVal))
	case *gnmi.TypedValue_LeaflistVal:
		return leafList(v.LeaflistVal)
	case nil:
		return []byte("null"), nil
	default:
		return nil, fmt.Errorf("the device sent a value of kind %T, which this command cannot show", v)
	}
}

func leafList(list *gnmi.ScalarArray) ([]byte, error) {
	parts := make([][]byte, len(list.GetElement()))
	for i, e := range list.GetElement() {
		var err error
		if parts[i], err = JSON(e); err != nil {
			return nil, err
		}
	}
	return append(append([]byte("["), bytes.Join(parts, []byte(","))...), ']'), nil
}

// Leaves takes the value at a path apart into its leaves, in the order of paths. List entries are named by their
// keys: the scalars directly in an entry, as OpenConfig's style has it.
func Leaves(at *gnmi.Path, v *gnmi.TypedValue) ([]Leaf, error) {
	text, err := JSON(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, fmt.Errorf("%s: the device sent what is no JSON: %w", gpath.String(at), err)
	}
	var out []Leaf
	walk(at, tree, &out)
	return out, nil
}

func walk(at *gnmi.Path, v any, out *[]Leaf) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			child := below(at, local(name))
			if list, ok := entries(v[name]); ok {
				walkList(child, list, out)
				continue
			}
			walk(child, v[name], out)
		}
	default:
		*out = append(*out, Leaf{gpath.String(at), scalar(v), at})
	}
}

func walkList(at *gnmi.Path, list []map[string]any, out *[]Leaf) {
	for _, entry := range list {
		keyed := proto.Clone(at).(*gnmi.Path)
		last := keyed.Elem[len(keyed.Elem)-1]
		last.Key = map[string]string{}
		for name, v := range entry {
			if isScalar(v) {
				last.Key[local(name)] = keyText(v)
			}
		}
		walk(keyed, entry, out)
	}
}

// entries reports whether a value is a list of entries, as opposed to a leaf-list.
func entries(v any) ([]map[string]any, bool) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, false
	}
	out := make([]map[string]any, len(list))
	for i, e := range list {
		if out[i], ok = e.(map[string]any); !ok {
			return nil, false
		}
	}
	return out, true
}

func isScalar(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// identity is an identityref with its module, as RFC 7951 has it; in a path's key it stands without. The
// hyphen in the module's name tells it from an IPv6 address.
var identity = regexp.MustCompile("^[a-z][a-z0-9]*(?:-[a-z0-9]+)+:([A-Z][A-Za-z0-9_]*)$")

func keyText(v any) string {
	text := scalar(v)
	if m := identity.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return text
}

func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = scalar(e)
		}
		return strings.Join(parts, " ")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// local drops the module from a name that RFC 7951 qualifies.
func local(name string) string {
	if _, rest, ok := strings.Cut(name, ":"); ok {
		return rest
	}
	return name
}

func below(at *gnmi.Path, name string) *gnmi.Path {
	p := proto.Clone(at).(*gnmi.Path)
	p.Elem = append(p.Elem, &gnmi.PathElem{Name: name})
	return p
}

// Join puts a notification's prefix before a path.
func Join(prefix, path *gnmi.Path) *gnmi.Path {
	p := &gnmi.Path{Origin: path.GetOrigin()}
	p.Elem = append(append(p.Elem, prefix.GetElem()...), path.GetElem()...)
	return p
}
