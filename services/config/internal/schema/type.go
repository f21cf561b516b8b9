// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	gnmi "github.com/openconfig/gnmi/proto/gnmi"
)

// Type is the type of a leaf.
type Type struct{}

// Decode reads a leaf's or leaf-list's value from any scalar, JSON or JSON_IETF value and validates it.
// path is only used in the error, which has the kind BadValue or Unsupported.
func (n *Node) Decode(path string, tv *gnmi.TypedValue) (Value, error) { panic("declared") }

// DecodeJSON reads the value from JSON text in the encoding (JSON or JSONIETF).
func (n *Node) DecodeJSON(path string, text []byte, enc Encoding) (Value, error) { panic("declared") }

// DecodeText reads the value from its lexical form, as in a path's key. Leaf-lists have none.
func (n *Node) DecodeText(path, text string) (Value, error) { panic("declared") }
