// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package match holds what came against what was expected. Both are JSON values as encoding/json decodes them.
//
// An expected object names the members that matter; others may be there. An expected array's elements must each match one
// element, in that order; others may be between. A text may be a matcher:
//
//	<any>        something is there
//	<absent>     nothing is there
//	<nonempty>   it is not zero, empty or false
//	<empty>      it is
//	<bytes N>    bytes in base64, N of them
//	<number>     a whole number
//	<above N>    a whole number that is greater
//	<items N>    a list of at least N elements
//	<one of A|B> one of these texts
//	~words       a text that has these words in it
//	$name        the first time, whatever is there, kept under the name; later, the same again
//
// Everything else must be equal; numbers and their text are the same, since protobuf writes large ones as text.
package match

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// Captured are the values that were kept by name.
type Captured map[string]string

// Check returns nil when a value is as expected, else what differs and where. What it captured on the way to a
// difference is forgotten.
func (c Captured) Check(want, got any) error {
	try := maps.Clone(c)
	if err := try.check("", want, got); err != nil {
		return err
	}
	maps.Copy(c, try)
	return nil
}

func (c Captured) check(path string, want, got any) error {
	switch w := want.(type) {
	case nil:
		return nil
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %v, want an object", at(path), got)
		}
		for name, e := range w {
			if err := c.check(path+"."+name, e, g[name]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		return c.list(path, w, got)
	case string:
		return c.text(path, w, got)
	}
	if text(want) != text(got) {
		return fmt.Errorf("%s is %v, want %v", at(path), got, want)
	}
	return nil
}

// list finds the expected elements in order.
func (c Captured) list(path string, want []any, got any) error {
	all, ok := got.([]any)
	if !ok && got != nil {
		return fmt.Errorf("%s is %v, want a list", at(path), got)
	}
	i := 0
	for n, e := range want {
		var last error
		for ; ; i++ {
			if i == len(all) {
				if last == nil {
					last = fmt.Errorf("there are %d elements", len(all))
				}
				return fmt.Errorf("%s has no element %d as expected: %w", at(path), n+1, last)
			}
			try := maps.Clone(c)
			if last = try.check(fmt.Sprintf("%s[%d]", path, i), e, all[i]); last == nil {
				maps.Copy(c, try)
				i++
				break
			}
		}
	}
	return nil
}

func (c Captured) text(path, want string, got any) error {
	switch {
	case want == "<any>":
		if got == nil {
			return fmt.Errorf("%s is missing", at(path))
		}
	case want == "<absent>":
		if got != nil {
			return fmt.Errorf("%s is %v, want nothing there", at(path), got)
		}
	case want == "<nonempty>":
		if zero(got) {
			return fmt.Errorf("%s is empty", at(path))
		}
	case want == "<empty>":
		if !zero(got) {
			return fmt.Errorf("%s is %v, want nothing", at(path), got)
		}
	case strings.HasPrefix(want, "<") && strings.HasSuffix(want, ">"):
		return special(path, want, got)
	case strings.HasPrefix(want, "~"):
		if !strings.Contains(text(got), want[1:]) {
			return fmt.Errorf("%s is %q, want something with %q in it", at(path), text(got), want[1:])
		}
	case strings.HasPrefix(want, "$"):
		if have, ok := c[want]; ok && have != text(got) {
			return fmt.Errorf("%s is %v, want %s again", at(path), got, have)
		}
		c[want] = text(got)
	case want != text(got):
		return fmt.Errorf("%s is %q, want %q", at(path), text(got), want)
	}
	return nil
}

// special checks the matchers that have an argument.
func special(path, want string, got any) error {
	kind, argument, _ := strings.Cut(strings.Trim(want, "<>"), " ")
	switch kind {
	case "bytes":
		b, err := base64.StdEncoding.DecodeString(text(got))
		if err != nil || strconv.Itoa(len(b)) != argument {
			return fmt.Errorf("%s is %q, want %s bytes in base64", at(path), text(got), argument)
		}
	case "number":
		if _, ok := number(text(got)); !ok {
			return fmt.Errorf("%s is %v, want a whole number", at(path), got)
		}
	case "above":
		least, known := number(argument)
		if n, ok := number(text(got)); !known || !ok || n.Cmp(least) <= 0 {
			return fmt.Errorf("%s is %v, want a number above %s", at(path), got, argument)
		}
	case "items":
		list, _ := got.([]any)
		if n, err := strconv.Atoi(argument); err != nil || len(list) < n {
			return fmt.Errorf("%s has %d elements, want at least %s", at(path), len(list), argument)
		}
	case "one":
		if !slices.Contains(strings.Split(strings.TrimPrefix(argument, "of "), "|"), text(got)) {
			return fmt.Errorf("%s is %q, want %s", at(path), text(got), argument)
		}
	default:
		return fmt.Errorf("%s is to match %s, which is no matcher", at(path), want)
	}
	return nil
}

func number(text string) (*big.Int, bool) { return new(big.Int).SetString(text, 10) }

func zero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	t := text(v)
	return t == "" || t == "0" || t == "false"
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func at(path string) string {
	if path == "" {
		return "the message"
	}
	return strings.TrimPrefix(path, ".")
}

// Fill puts captured values in place of their names.
func (c Captured) Fill(form any) any {
	switch v := form.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, e := range v {
			out[name] = c.Fill(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = c.Fill(e)
		}
		return out
	case string:
		if have, ok := c[v]; ok && strings.HasPrefix(v, "$") {
			return have
		}
	}
	return form
}
