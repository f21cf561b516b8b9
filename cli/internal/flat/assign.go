// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package flat

import (
	"encoding/json"
	"fmt"
	"strings"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// Assignment reads PATH=VALUE. A value that is JSON is taken as it is; any other is a string. To give a
// number or "true" as a string, quote it: '"42"'.
func Assignment(text string) (*gnmi.Update, error) {
	path, value, ok := cut(text)
	if !ok {
		return nil, fmt.Errorf("%q: want PATH=VALUE, for example /system/config/hostname=leaf1", text)
	}
	p, err := gpath.Parse(path)
	if err != nil {
		return nil, err
	}
	if value == "" {
		return nil, fmt.Errorf("%q: no value after \"=\": to remove it use --delete %s, to set an empty string '\"\"'", text, path)
	}
	v, err := Value(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &gnmi.Update{Path: p, Val: v}, nil
}

// Value reads a value as an operator types it.
func Value(text string) (*gnmi.TypedValue, error) {
	b := []byte(text)
	if !json.Valid(b) {
		if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") || strings.HasPrefix(text, "\"") {
			var v any
			return nil, fmt.Errorf("the value begins like JSON and is none: %w", json.Unmarshal(b, &v))
		}
		quoted, err := json.Marshal(text)
		if err != nil {
			return nil, err
		}
		b = quoted
	}
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: b}}, nil
}

// cut splits at the first "=" outside of brackets.
func cut(text string) (path, value string, ok bool) {
	inside := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && inside:
			i++
		case c == '[':
			inside = true
		case c == ']':
			inside = false
		case c == '=' && !inside:
			return text[:i], text[i+1:], true
		}
	}
	return "", "", false
}
