// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package report is how every benchmark ends: a table for people, one BENCH line for machines, and a file in
// bench/results with the machine's facts beside the figures.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// Result is the figure that a benchmark is about: ours beside a peer's, measured alternately in one run.
type Result struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Ours   float64 `json:"ours"`
	Peer   string  `json:"peer"`
	Theirs float64 `json:"theirs"`
	// Ratio is the median of the paired ratios, ours to theirs; Bar is what it is held to.
	Ratio float64 `json:"ratio"`
	Bar   float64 `json:"bar"`
	// OK is the and of every figure that the benchmark is held to.
	OK bool `json:"ok"`
	N  int  `json:"n"`
}

// Row is one line of the table.
type Row []string

// Report is a whole benchmark.
type Report struct {
	Title  string
	Header Row
	Rows   []Row
	Notes  []string
	Result Result
}

// Median returns the middle of the values, the mean of both middles when their number is even; 0 for none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Quantile returns the value below which a share q of the values lie; 0 for none.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

// Print writes the table and, last, the BENCH line.
func (r Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "%s\n\n", r.Title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([]Row{r.Header}, r.Rows...) {
		fmt.Fprintf(t, "  %s\n", strings.Join(row, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, n := range r.Notes {
		fmt.Fprintf(w, "  %s\n", n)
	}
	line, err := json.Marshal(r.Result)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "BENCH %s\n", line)
	return err
}

// machine is what a figure was measured on.
type machine struct {
	Kernel    string `json:"kernel"`
	Processor string `json:"processor"`
	CPUs      int    `json:"cpus"`
	Go        string `json:"go"`
}

// saved is the form of a file in bench/results.
type saved struct {
	Title   string    `json:"title"`
	Result  Result    `json:"result"`
	Header  Row       `json:"header"`
	Rows    []Row     `json:"rows"`
	Notes   []string  `json:"notes,omitempty"`
	Machine machine   `json:"machine"`
	Time    time.Time `json:"time"`
}

// Save writes <directory>/<name>.json.
func (r Report) Save(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(saved{r.Title, r.Result, r.Header, r.Rows, r.Notes, facts(), time.Now().UTC().Truncate(time.Second)}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(directory, r.Result.Name+".json"), append(b, '\n'), 0o644)
}

// Finish prints to standard output, saves to bench/results below the module's root (or below the working
// directory outside of one) and brings docs/performance.md up to date.
func (r Report) Finish() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	results := filepath.Join(root, "bench", "results")
	err = errors.Join(r.Save(results), WritePage(results, filepath.Join(root, "docs", "performance.md")))
	return errors.Join(err, r.Print(os.Stdout))
}

func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := start; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return start, nil
		}
	}
}

func facts() machine {
	m := machine{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				m.Processor = strings.TrimSpace(value)
				break
			}
		}
	}
	return m
}
