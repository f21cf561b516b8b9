// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package intent

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// document reads members of JSON objects by name and remembers the first thing that is wrong. Members
// that nobody asked for are wrong too: what is not implemented is refused, never swallowed.
type document struct{ refusal *Refusal }

// node is an object and its place in the model.
type node struct {
	path    string
	members map[string]any
}

func (d *document) fail(path, format string, args ...any) {
	if d.refusal == nil {
		d.refusal = invalid(path, format, args...)
	}
}

// open reads the whole text.
func (d *document) open(path string, raw []byte) node {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		d.fail(path, "the value is no JSON: %v", err)
		return node{path: path}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		d.fail(path, "something follows the JSON value")
	}
	return d.object(path, v)
}

// object checks that a value is an object and drops the module names before its members (RFC 7951 §4).
func (d *document) object(path string, v any) node {
	m, ok := v.(map[string]any)
	if !ok {
		d.fail(path, "the value is not a JSON object")
		return node{path: path}
	}
	plain := make(map[string]any, len(m))
	for name, value := range m {
		if _, bare, qualified := strings.Cut(name, ":"); qualified {
			name = bare
		}
		if _, twice := plain[name]; twice {
			d.fail(path+"/"+name, "the member is given twice")
		}
		plain[name] = value
	}
	return node{path: path, members: plain}
}

// take removes a member and returns it.
func (n node) take(name string) (any, bool) {
	v, ok := n.members[name]
	delete(n.members, name)
	return v, ok
}

// child reads a container; false when it is absent.
func (d *document) child(n node, name string) (node, bool) {
	v, ok := n.take(name)
	if !ok {
		return node{}, false
	}
	return d.object(n.path+"/"+name, v), true
}

// entries reads a list with one key.
func (d *document) entries(n node, name, keyName string) []node {
	v, ok := n.take(name)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		d.fail(n.path+"/"+name, "the value is not a JSON array")
		return nil
	}
	var all []node
	for _, item := range list {
		e := d.object(n.path+"/"+name, item)
		e.path += key(keyName, scalar(e.members[keyName]))
		all = append(all, e)
	}
	return all
}

func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// text reads a string leaf; "" when it is absent.
func (d *document) text(n node, name string) string {
	v, ok := n.take(name)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		d.fail(n.path+"/"+name, "the value is not a string")
	}
	return s
}

// flag reads a boolean leaf.
func (d *document) flag(n node, name string, absent bool) bool {
	v, ok := n.take(name)
	if !ok {
		return absent
	}
	b, ok := v.(bool)
	if !ok {
		d.fail(n.path+"/"+name, "the value is not true or false")
	}
	return b
}

// number reads an unsigned integer of at most bits; false when it is absent.
func (d *document) number(n node, name string, bits int) (int, bool) {
	v, ok := n.take(name)
	if !ok {
		return 0, false
	}
	u, err := strconv.ParseUint(scalar(v), 10, bits)
	if err != nil {
		d.fail(n.path+"/"+name, "the value is not a whole number of at most %d bits", bits)
	}
	return int(u), true
}

// finish refuses members that nobody read.
func (d *document) finish(n node) {
	for _, name := range slices.Sorted(maps.Keys(n.members)) {
		d.fail(n.path+"/"+name, "Ashlar does not implement this")
	}
}
