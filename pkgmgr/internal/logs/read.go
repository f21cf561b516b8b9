// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package logs keeps the components' log files bounded and reads them: the newest lines, and what
// follows. Readers hold no lock against writers.
package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	// maxLine bounds one line in bytes; a longer one is cut into several.
	maxLine = 64 << 10
	// tailWindow is how far back a tail is looked for, in bytes.
	tailWindow = 4 << 20
	// pollInterval is how often a followed file is looked at.
	pollInterval = 100 * time.Millisecond
)

// Reader reads one component's log. One goroutine uses it.
type Reader struct {
	file   string
	offset int64
	rest   []byte
}

// NewReader returns a reader that stands at the end of what Tail returned, or at the beginning.
func NewReader(file string) *Reader { return &Reader{file: file} }

// Tail returns the newest n lines, oldest first, the file's older part included where the newer one has too few.
func (r *Reader) Tail(n int) ([]string, error) {
	newer, end, err := lastLines(r.file, n)
	if err != nil {
		return nil, err
	}
	r.offset = end
	if len(newer) >= n {
		return newer, nil
	}
	older, _, err := lastLines(previous(r.file), n-len(newer))
	if err != nil {
		return nil, err
	}
	return append(older, newer...), nil
}

// lastLines returns the last n whole lines and the offset behind them. A file that is not there is empty.
func lastLines(file string, n int) ([]string, int64, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("log: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0, fmt.Errorf("log: %w", err)
	}
	from := max(0, size-tailWindow)
	b := make([]byte, size-from)
	got, err := f.ReadAt(b, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("log: %w", err)
	}
	b = b[:got]
	if from > 0 { // it begins in the middle of a line
		_, after, _ := bytes.Cut(b, []byte{'\n'})
		from += int64(len(b) - len(after))
		b = after
	}
	lines, rest := split(b)
	end := from + int64(len(b)-len(rest))
	return lines[max(0, len(lines)-n):], end, nil
}

// Follow waits until lines were added and returns them. A file that was cut is read from its beginning.
func (r *Reader) Follow(ctx context.Context) ([]string, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		lines, err := r.more()
		if err != nil || len(lines) > 0 {
			return lines, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// more returns the whole lines that were added, a bounded part of them at a time.
func (r *Reader) more() ([]string, error) {
	f, err := os.Open(r.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() < r.offset {
		r.offset, r.rest = 0, nil
	}
	b := make([]byte, maxLine)
	n, err := f.ReadAt(b, r.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("log: %w", err)
	}
	r.offset += int64(n)
	lines, rest := split(append(r.rest, b[:n]...))
	r.rest = bytes.Clone(rest)
	if len(r.rest) >= maxLine {
		lines, r.rest = append(lines, string(r.rest)), nil
	}
	return lines, nil
}

// split cuts text into whole lines and what follows the last of them.
func split(b []byte) (lines []string, rest []byte) {
	for {
		line, after, found := bytes.Cut(b, []byte{'\n'})
		if !found {
			return lines, b
		}
		lines = append(lines, string(line))
		b = after
	}
}
