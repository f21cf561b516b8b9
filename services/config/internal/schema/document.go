// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a JSON document; models are nowhere near.
const maxDepth = 64

// Document is a JSON value as it was sent: members in order, numbers not yet read.
type Document struct {
	Kind DocumentKind
	// Text is the string, or the number as written; "true" or "false" for Boolean.
	Text    string
	Members []Member
	Items   []*Document
}

// Member is a name and a value of an Object.
type Member struct {
	Name  string
	Value *Document
}

// DocumentKind is the kind of a JSON value.
type DocumentKind uint8

const (
	Null DocumentKind = iota
	Boolean
	Number
	Text
	Object
	Array
)

func (k DocumentKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an object", "an array"}[k]
}

// ParseDocument reads exactly one JSON value (RFC 8259). It refuses what follows it, a member that is given twice,
// text that is not UTF-8 and nesting deeper than 64.
func ParseDocument(text []byte) (*Document, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("the JSON is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	d, err := parseValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return d, nil
}

func parseValue(dec *json.Decoder, depth int) (*Document, error) {
	token, err := dec.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the JSON ends too early")
	case err != nil:
		return nil, fmt.Errorf("the JSON cannot be read: %w", err)
	case depth > maxDepth:
		return nil, fmt.Errorf("the JSON is nested deeper than %d", maxDepth)
	}
	switch t := token.(type) {
	case nil:
		return &Document{Kind: Null, Text: "null"}, nil
	case bool:
		return &Document{Kind: Boolean, Text: fmt.Sprint(t)}, nil
	case json.Number:
		return &Document{Kind: Number, Text: string(t)}, nil
	case string:
		return &Document{Kind: Text, Text: t}, nil
	case json.Delim:
		if t == '{' {
			return parseObject(dec, depth)
		}
	}
	return parseArray(dec, depth)
}

func parseObject(dec *json.Decoder, depth int) (*Document, error) {
	d := &Document{Kind: Object}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("the JSON cannot be read: %w", err)
		}
		name, _ := token.(string) // the decoder gives nothing else here
		if seen[name] {
			return nil, fmt.Errorf("the JSON has the member %q twice in one object", name)
		}
		seen[name] = true
		value, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		d.Members = append(d.Members, Member{Name: name, Value: value})
	}
	return d, end(dec)
}

func parseArray(dec *json.Decoder, depth int) (*Document, error) {
	d := &Document{Kind: Array}
	for dec.More() {
		item, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		d.Items = append(d.Items, item)
	}
	return d, end(dec)
}

// end takes the closing bracket.
func end(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("the JSON ends too early: %w", err)
	}
	return nil
}
