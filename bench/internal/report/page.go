// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pageHead stands above the results. A figure means something only beside its peer.
const pageHead = `# What was measured

Written by the benchmarks; do not edit. Each is one command, ` + "`make bench NAME=<name>`" + `, that runs Ashlar and a peer alternately on
the same machine and compares them pair by pair. The absolute figures belong to the machine named below each table (small,
shared, noisy); the ratio is what to look at. "Bar" is what the figure is held to, whether it is met or not.
`

// WritePage writes all results of a directory as one Markdown page.
func WritePage(results, page string) error {
	files, err := filepath.Glob(filepath.Join(results, "*.json"))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(pageHead)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var s saved
		if err := json.Unmarshal(text, &s); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		s.write(&b)
	}
	if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
		return err
	}
	return os.WriteFile(page, b.Bytes(), 0o644)
}

func (s saved) write(b *bytes.Buffer) {
	r := s.Result
	verdict := "met"
	if !r.OK {
		verdict = "**not met**"
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", r.Name, s.Title)
	fmt.Fprintf(b, "Ratio to %s: **%.3g** (bar %.3g, %s), %s, n = %d.\n\n", r.Peer, r.Ratio, r.Bar, verdict, r.Unit, r.N)
	row(b, s.Header)
	row(b, make(Row, len(s.Header)), "---")
	for _, cells := range s.Rows {
		row(b, cells)
	}
	b.WriteByte('\n')
	for _, n := range s.Notes {
		fmt.Fprintf(b, "- %s\n", strings.TrimSpace(n))
	}
	fmt.Fprintf(b, "\n%d × %s, Linux %s, %s, %s\n", s.Machine.CPUs, s.Machine.Processor, s.Machine.Kernel, s.Machine.Go, s.Time.Format(time.DateOnly))
}

// row writes one line of a table; fill replaces every cell when given.
func row(b *bytes.Buffer, cells Row, fill ...string) {
	for _, c := range cells {
		if len(fill) > 0 {
			c = fill[0]
		}
		fmt.Fprintf(b, "| %s ", strings.ReplaceAll(c, "|", "\\|"))
	}
	b.WriteString("|\n")
}
