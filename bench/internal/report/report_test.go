// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestQuantiles(t *testing.T) {
	values := []float64{9, 1, 5, 3}
	for _, c := range []struct {
		desc      string
		got, want float64
	}{
		{"even median", Median(values), 4},
		{"odd median", Median(values[:3]), 5},
		{"none", Median(nil), 0},
		{"lowest", Quantile(values, 0), 1},
		{"highest", Quantile(values, 1), 9},
		{"p75", Quantile(values, 0.75), 9},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.desc, c.got, c.want)
		}
	}
}

func TestBenchLineIsLast(t *testing.T) {
	r := Report{
		Title: "title", Header: Row{"what", "ns"}, Rows: []Row{{"ours", "1"}}, Notes: []string{"note"},
		Result: Result{Name: "x", Unit: "ns", Ours: 1, Peer: "p", Theirs: 2, Ratio: 0.5, Bar: 1, OK: true, N: 3},
	}
	var b bytes.Buffer
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	text, ok := strings.CutPrefix(lines[len(lines)-1], "BENCH ")
	var back Result
	if err := json.Unmarshal([]byte(text), &back); !ok || err != nil || back != r.Result {
		t.Errorf("last line %q: %v", lines[len(lines)-1], err)
	}
	dir := t.TempDir()
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "x.json")); err != nil {
		t.Error(err)
	}
}

func TestPageShowsEveryResult(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		r := Report{Title: "about " + name, Header: Row{"what", "ns"}, Rows: []Row{{"ours|theirs", "1"}},
			Result: Result{Name: name, Peer: "p", Ratio: 0.5, Bar: 1, OK: name == "one"}}
		if err := r.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	page := filepath.Join(dir, "page.md")
	if err := WritePage(dir, page); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## one", "about two", `ours\|theirs`, "(bar 1, met)", "(bar 1, **not met**)"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
