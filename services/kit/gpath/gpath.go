// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package gpath writes gNMI paths as text and compares them, as the gNMI path conventions have it:
// /interfaces/interface[name=ge0]/config/mtu. In a key's value the closing bracket and the backslash are escaped by a backslash.
// All functions are pure.
package gpath

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
)

// Wildcard stands for any one element or any key value; Deep for any number of elements.
const (
	Wildcard = "*"
	Deep     = "..."
)

// Parse reads a path. "" and "/" are the root. It fails with an error that names the place.
func Parse(text string) (*gnmi.Path, error) {
	p := &gnmi.Path{}
	rest := strings.TrimPrefix(text, "/")
	for rest != "" {
		elem, after, err := parseElem(rest)
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", text, err)
		}
		p.Elem = append(p.Elem, elem)
		rest = after
	}
	return p, nil
}

// MustParse is Parse for paths that the program itself holds; it panics on an error.
func MustParse(text string) *gnmi.Path {
	p, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return p
}

func parseElem(s string) (elem *gnmi.PathElem, rest string, err error) {
	end := strings.IndexAny(s, "/[]=")
	if end < 0 {
		end = len(s)
	}
	if end == 0 {
		return nil, "", fmt.Errorf("an element has no name before %q", s)
	}
	elem, s = &gnmi.PathElem{Name: s[:end]}, s[end:]
	for strings.HasPrefix(s, "[") {
		var key, value string
		if key, value, s, err = parseKey(s[1:]); err != nil {
			return nil, "", fmt.Errorf("element %q: %w", elem.Name, err)
		}
		if _, twice := elem.Key[key]; twice {
			return nil, "", fmt.Errorf("element %q has the key %q twice", elem.Name, key)
		}
		if elem.Key == nil {
			elem.Key = map[string]string{}
		}
		elem.Key[key] = value
	}
	switch {
	case s == "":
		return elem, "", nil
	case s[0] != '/':
		return nil, "", fmt.Errorf("element %q is followed by %q, want \"/\" or \"[key=value]\"", elem.Name, s)
	case s == "/":
		return elem, "", nil
	}
	return elem, s[1:], nil
}

func parseKey(s string) (key, value, rest string, err error) {
	eq := strings.IndexByte(s, '=')
	if eq <= 0 || strings.ContainsAny(s[:eq], "[]/") {
		return "", "", "", fmt.Errorf("want [key=value] at %q", "["+s)
	}
	var b strings.Builder
	for i := eq + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == ']':
			return s[:eq], b.String(), s[i+1:], nil
		default:
			b.WriteByte(c)
		}
	}
	return "", "", "", fmt.Errorf("the key %q is not closed by \"]\"", s[:eq])
}

var escape = strings.NewReplacer("\\", "\\\\", "]", "\\]")

// String writes a path so that Parse reads it back; keys are in order of their names. Origin and target
// are not part of it. The root is "/".
func String(p *gnmi.Path) string {
	if len(p.GetElem()) == 0 {
		return "/"
	}
	var b strings.Builder
	for _, e := range p.GetElem() {
		b.WriteByte('/')
		writeElem(&b, e)
	}
	return b.String()
}

func writeElem(b *strings.Builder, e *gnmi.PathElem) {
	b.WriteString(e.GetName())
	switch len(e.GetKey()) {
	case 0:
		return
	case 1:
		for k, v := range e.GetKey() {
			writeKey(b, k, v)
		}
		return
	}
	for _, k := range slices.Sorted(maps.Keys(e.GetKey())) {
		writeKey(b, k, e.GetKey()[k])
	}
}

func writeKey(b *strings.Builder, key, value string) {
	b.WriteByte('[')
	b.WriteString(key)
	b.WriteByte('=')
	if strings.ContainsAny(value, "\\]") {
		value = escape.Replace(value)
	}
	b.WriteString(value)
	b.WriteByte(']')
}

// Join puts paths one after the other. Origin and target are the first path's. Elements are shared, not copied.
func Join(first *gnmi.Path, rest ...*gnmi.Path) *gnmi.Path {
	out := &gnmi.Path{Origin: first.GetOrigin(), Target: first.GetTarget(), Elem: slices.Clip(first.GetElem())}
	for _, p := range rest {
		out.Elem = append(out.Elem, p.GetElem()...)
	}
	return out
}

// Key returns the value of a key of the first element with the name, "" if there is none.
func Key(p *gnmi.Path, elem, key string) string {
	for _, e := range p.GetElem() {
		if e.GetName() == elem {
			return e.GetKey()[key]
		}
	}
	return ""
}

// Match reports whether a path lies exactly on a pattern. The pattern's element names and key values may
// be "*"; keys that the pattern leaves out match anything.
func Match(pattern, path *gnmi.Path) bool {
	return len(pattern.GetElem()) == len(path.GetElem()) && MatchPrefix(pattern, path)
}

// MatchPrefix reports whether a path lies on a pattern or below it.
func MatchPrefix(pattern, path *gnmi.Path) bool {
	if len(pattern.GetElem()) > len(path.GetElem()) {
		return false
	}
	for i, e := range pattern.GetElem() {
		if !matchElem(e, path.GetElem()[i]) {
			return false
		}
	}
	return true
}

func matchElem(pattern, elem *gnmi.PathElem) bool {
	if pattern.GetName() != Wildcard && pattern.GetName() != elem.GetName() {
		return false
	}
	for k, v := range pattern.GetKey() {
		if got, ok := elem.GetKey()[k]; v != Wildcard && (!ok || got != v) {
			return false
		}
	}
	return true
}
