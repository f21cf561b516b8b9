// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package render writes answers: as a table for people, or as JSON or YAML for programs. Colours appear only
// where the caller says that a terminal shows them.
package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// Format is how answers are written.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
)

// Formats lists all, for messages.
const Formats = "table, json or yaml"

// ParseFormat reads a format's name.
func ParseFormat(s string) (Format, bool) {
	switch f := Format(s); f {
	case Table, JSON, YAML:
		return f, true
	}
	return "", false
}

// Writer writes answers in one format.
type Writer struct {
	Out    io.Writer
	Format Format
	Colour bool
}

// Data writes a value as JSON or YAML, or as indented JSON where the format is Table.
func (w Writer) Data(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.RawJSON(b)
}

// RawJSON writes JSON text in the format, in the order its keys have.
func (w Writer) RawJSON(text []byte) error {
	if w.Format == YAML {
		y, err := yaml.JSONToYAML(text)
		if err != nil {
			return err
		}
		_, err = w.Out.Write(y)
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	_, err := w.Out.Write(indented.Bytes())
	return err
}

// Line writes one record of a stream: a line of JSON, or a YAML document.
func (w Writer) Line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if w.Format == YAML {
		if b, err = yaml.JSONToYAML(b); err != nil {
			return err
		}
		_, err = fmt.Fprintf(w.Out, "---\n%s", b)
		return err
	}
	_, err = fmt.Fprintf(w.Out, "%s\n", b)
	return err
}

// Answer writes a table for people, the data for programs.
func (w Writer) Answer(g Grid, data any) error {
	if w.Format == Table {
		return w.Grid(g)
	}
	return w.Data(data)
}

// Grid is a table.
type Grid struct {
	Columns []string
	Rows    [][]Cell
}

// Add appends a row.
func (g *Grid) Add(cells ...Cell) { g.Rows = append(g.Rows, cells) }

// Cell is a text and what it means.
type Cell struct {
	Text string
	Mood Mood
}

// Mood chooses the colour.
type Mood int

// The moods.
const (
	Plain Mood = iota
	Good
	Bad
	Waiting
	Faint
)

// Text is a plain cell.
func Text(s string) Cell { return Cell{Text: s} }

// Textf is a plain cell from a format.
func Textf(format string, args ...any) Cell { return Cell{Text: fmt.Sprintf(format, args...)} }

func (m Mood) code() string {
	switch m {
	case Good:
		return "32"
	case Bad:
		return "31"
	case Waiting:
		return "33"
	case Faint:
		return "2"
	}
	return ""
}

const gap = "  "

// Grid writes a table with aligned columns; the last column is not padded. An empty cell shows as "-".
func (w Writer) Grid(g Grid) error {
	widths := make([]int, len(g.Columns))
	for i, c := range g.Columns {
		widths[i] = utf8.RuneCountInString(c)
	}
	for _, row := range g.Rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.shown()))
		}
	}
	header := make([]Cell, len(g.Columns))
	for i, c := range g.Columns {
		header[i] = Cell{Text: c, Mood: Faint}
	}
	for _, row := range append([][]Cell{header}, g.Rows...) {
		if _, err := io.WriteString(w.Out, w.row(row, widths)+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (c Cell) shown() string {
	if c.Text == "" {
		return "-"
	}
	return c.Text
}

func (w Writer) row(cells []Cell, widths []int) string {
	var b strings.Builder
	for i, c := range cells {
		text := c.shown()
		b.WriteString(w.Paint(text, c.Mood))
		if i < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)) + gap)
		}
	}
	return b.String()
}

// Paint colours a text where colours are shown.
func (w Writer) Paint(text string, m Mood) string {
	if !w.Colour || m.code() == "" {
		return text
	}
	return "\x1b[" + m.code() + "m" + text + "\x1b[0m"
}
