// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"unicode"
)

const (
	// wordsWindow is how far back last words are looked for, in bytes: a Go program's trace is shorter.
	wordsWindow = 64 << 10
	// maxWords bounds last words in characters.
	maxWords = 200
)

// LastWords returns in one line of at most 200 characters what a process that ended by itself said last, if that
// was about an error: its panic, its last plain line, or the error of its last entry. What stands before from, an
// offset in bytes, is not its own. It is empty when there is nothing to say, or the log cannot be read.
func LastWords(file string, from int64) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	if size < from { // it was cut meanwhile
		from = 0
	}
	from = max(from, size-wordsWindow)
	b := make([]byte, size-from)
	n, err := f.ReadAt(b, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return oneLine(last(strings.Split(strings.TrimRight(string(b[:n]), "\n"), "\n")))
}

// last chooses the line that says most: behind the last entry of the log there may be plain lines, of which those
// of a trace follow what they are about.
func last(lines []string) string {
	plain := len(lines)
	for plain > 0 && !strings.HasPrefix(lines[plain-1], "{") {
		plain--
	}
	for _, l := range lines[plain:] {
		if strings.HasPrefix(l, "panic:") || strings.HasPrefix(l, "fatal error:") || strings.HasPrefix(l, "runtime:") {
			return l
		}
	}
	if plain < len(lines) {
		return lines[len(lines)-1]
	}
	if plain == 0 {
		return ""
	}
	return entryError(lines[plain-1])
}

// entryError is what an entry of level ERROR says, and "" for any other.
func entryError(line string) string {
	var e struct{ Level, Msg, Error string }
	if json.Unmarshal([]byte(line), &e) != nil || e.Level != "ERROR" {
		return ""
	}
	return strings.TrimSuffix(e.Msg+": "+e.Error, ": ")
}

// oneLine makes text fit for a table on a terminal.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "\uFFFD"))
	runes := []rune(strings.TrimSpace(text))
	if len(runes) > maxWords {
		return string(runes[:maxWords-1]) + "…"
	}
	return string(runes)
}
