// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"regexp"
	"strings"
)

// compilePattern translates a regular expression of XML Schema (RFC 7950 §9.4.5) into Go's. It fails on what Go cannot
// say: subtraction of classes and blocks of characters.
func compilePattern(text string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString("^(?:")
	class := 0
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; {
		case ch == '\\' && i+1 < len(text):
			i++
			s, err := escape(text[i], class > 0)
			if err != nil {
				return nil, err
			}
			b.WriteString(s)
		case ch == '[' && class > 0:
			return nil, fmt.Errorf("subtraction of classes at %d is not supported", i)
		case ch == '[':
			class++
			b.WriteByte(ch)
			if i+1 < len(text) && text[i+1] == '^' {
				i++
				b.WriteByte('^')
			}
		case ch == ']' && class > 0:
			class--
			b.WriteByte(ch)
		case class == 0 && (ch == '^' || ch == '$'):
			b.WriteByte('\\')
			b.WriteByte(ch)
		case class == 0 && ch == '.':
			b.WriteString("[^\\n\\r]")
		default:
			b.WriteByte(ch)
		}
	}
	b.WriteString(")$")
	return regexp.Compile(b.String())
}

// escape translates one escaped character; what XML Schema and Go share is kept.
func escape(ch byte, inClass bool) (string, error) {
	sets := map[byte]string{
		'i': "_:\\p{L}", 'c': "\\-._:\\p{L}\\p{Nd}", 'd': "\\p{Nd}", 's': " \\t\\n\\r",
	}
	set, known := sets[ch]
	switch {
	case known && inClass:
		return set, nil
	case known:
		return "[" + set + "]", nil
	case ch == 'w' && !inClass:
		return "[^\\p{P}\\p{Z}\\p{C}]", nil
	case ch == 'W' && inClass:
		return "\\p{P}\\p{Z}\\p{C}", nil
	case ch == 'W':
		return "[\\p{P}\\p{Z}\\p{C}]", nil
	case (ch == 'D' || ch == 'S' || ch == 'I' || ch == 'C') && !inClass:
		return "[^" + sets[ch|0x20] + "]", nil
	case strings.IndexByte("wDSIC", ch) >= 0:
		return "", fmt.Errorf("\\%c inside a class is not supported", ch)
	}
	return "\\" + string(ch), nil
}
