// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func (t *Type) number() bool { return t.kind.signed() || t.kind.unsigned() || t.kind == Decimal64 }

// decodeText is decode for text in which binaries are base64.
func (t *Type) decodeText(text string, ok func(*Type) bool) (Value, bool) {
	if t.kind != Binary {
		if t.members == nil {
			return t.decode(text, ok)
		}
		for _, m := range t.members {
			if v, accepted := m.decodeText(text, ok); accepted {
				return v, true
			}
		}
		return Value{}, false
	}
	octets, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return Value{}, false
	}
	return t.decode(string(octets), ok)
}

// decode reads the lexical form as this type, or as the first member of a union that takes it. ok says which types may be
// written in the way that the text was.
func (t *Type) decode(text string, ok func(*Type) bool) (Value, bool) {
	if t.members != nil {
		for _, m := range t.members {
			if v, accepted := m.decode(text, ok); accepted {
				return v, true
			}
		}
		return Value{}, false
	}
	if !ok(t) {
		return Value{}, false
	}
	switch {
	case t.kind.signed(), t.kind.unsigned():
		return t.integer(text)
	case t.kind == Decimal64:
		return t.decimal(text)
	case t.kind == Bool:
		return Value{kind: Bool, num: map[string]uint64{"true": 1}[text]}, text == "true" || text == "false"
	case t.kind == Empty:
		return Value{kind: Empty}, true
	case t.kind == Enum:
		_, known := t.names[text]
		return Value{kind: Enum, str: text}, known
	case t.kind == Identity:
		id, known := t.identities[text]
		return Value{kind: Identity, str: id.qualified}, known && id.unique
	case t.kind == Bits:
		return t.bits(text)
	}
	if !t.allows(text) {
		return Value{}, false
	}
	if t.canonical != nil {
		text = t.canonical(text)
	}
	return Value{kind: t.kind, str: text}, true
}

// allows checks length and patterns.
func (t *Type) allows(text string) bool {
	return within(t.lengths, t.length(text)) &&
		!slices.ContainsFunc(t.patterns, func(p *pattern) bool { return !p.regexp.MatchString(text) })
}

// integer takes decimal digits without leading zeros: what YANG reads as octal or hexadecimal is refused, for two clients
// would understand it differently.
func (t *Type) integer(text string) (Value, bool) {
	digits, negative := strings.CutPrefix(text, "-")
	if digits == "" || (digits[0] == '0' && len(digits) > 1) || digits[0] < '0' || digits[0] > '9' {
		return Value{}, false
	}
	size, err := strconv.ParseUint(digits, 10, 64)
	n := number{negative: negative && size > 0, size: size}
	if err != nil || !within(t.spans, n) || (t.kind.signed() && !n.fitsInt64()) || (t.kind.unsigned() && n.negative) {
		return Value{}, false
	}
	return Value{kind: t.kind, num: n.twos()}, true
}

func (n number) fitsInt64() bool {
	if n.negative {
		return n.size <= 1<<63
	}
	return n.size < 1<<63
}

// twos is the number in two's complement.
func (n number) twos() uint64 {
	if n.negative {
		return -n.size
	}
	return n.size
}

// decimal reads a decimal64, scaled by the type's digits.
func (t *Type) decimal(text string) (Value, bool) {
	unsigned, negative := strings.CutPrefix(text, "-")
	whole, fraction, point := strings.Cut(unsigned, ".")
	fraction = strings.TrimRight(fraction, "0")
	if whole == "" || (point && strings.HasSuffix(text, ".")) || len(fraction) > int(t.digits) || !allDigits(whole+fraction) {
		return Value{}, false
	}
	size, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", int(t.digits)-len(fraction)), 10, 64)
	n := number{negative: negative && size > 0, size: size}
	if err != nil || !n.fitsInt64() || !within(t.spans, n) {
		return Value{}, false
	}
	return Value{kind: Decimal64, num: n.twos(), digits: t.digits}, true
}

func allDigits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// bits puts the names in order of their positions.
func (t *Type) bits(text string) (Value, bool) {
	names := strings.Fields(text)
	slices.SortFunc(names, func(a, b string) int { return t.names[a] - t.names[b] })
	for i, name := range names {
		if _, known := t.names[name]; !known || (i > 0 && names[i-1] == name) {
			return Value{}, false
		}
	}
	return Value{kind: Bits, str: strings.Join(names, " ")}, true
}

// complaint says why the text was not taken.
func (t *Type) complaint(text string) string {
	shown := strconv.Quote(text)
	if len(shown) > 80 {
		shown = shown[:77] + `…"`
	}
	return fmt.Sprintf("the value %s is not %s", shown, t.describe())
}

// describe says what the type takes, for people.
func (t *Type) describe() string {
	switch {
	case t.members != nil:
		parts := make([]string, len(t.members))
		for i, m := range t.members {
			parts[i] = m.describe()
		}
		return strings.Join(parts, " or ")
	case t.kind == Enum, t.kind == Identity, t.kind == Bits:
		return "one of " + strings.Join(t.Names(), ", ")
	case t.number() && len(t.spans) > 0:
		return fmt.Sprintf("a number (%s) in %s", t.name, t.extent(t.spans))
	case t.kind == Bool:
		return "true or false"
	case t.kind == String && t.name != "string":
		return "of type " + t.name
	case len(t.patterns) > 0:
		return fmt.Sprintf("text that matches %q", t.patterns[0].text)
	case len(t.lengths) > 0:
		return fmt.Sprintf("a %s of length %s", t.name, t.extent(t.lengths))
	}
	return "of type " + t.name
}

func (t *Type) extent(spans []span) string {
	digits := 0
	if t.kind == Decimal64 {
		digits = int(t.digits)
	}
	text := func(n number) string {
		sign := map[bool]string{true: "-"}[n.negative]
		s := strconv.FormatUint(n.size, 10)
		if pad := digits + 1 - len(s); digits > 0 && pad > 0 {
			s = strings.Repeat("0", pad) + s
		}
		if digits > 0 {
			s = s[:len(s)-digits] + "." + s[len(s)-digits:]
		}
		return sign + s
	}
	parts := make([]string, len(spans))
	for i, s := range spans {
		parts[i] = text(s.min) + ".." + text(s.max)
	}
	return strings.Join(parts, " | ")
}
