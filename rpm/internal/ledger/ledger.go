// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package ledger reads and extends rpm/releases.yaml, the list of released versions: which commit each was built
// from and the digest of its package. Rows are only ever added. Values are not changed after they were read.
package ledger

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/ashlar-nos/ashlar/rpm"
)

// File is where the list lies in a tree.
const File = "rpm/releases.yaml"

// Row is one released version of a component.
type Row struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	// Commit is the one that it was built from, 40 hex digits.
	Commit string `json:"commit"`
	// Toolchain is the Go release that compiled it, for example "go1.26.8".
	Toolchain string `json:"toolchain"`
	// Digest is that of its package for Arch, 64 hex digits.
	Digest string `json:"digest"`
}

// Arch is the architecture, as RPM calls it, of the packages whose digests are recorded.
const Arch = "x86_64"

func (r Row) String() string { return r.Component + " " + r.Version }

// Ledger is the list, oldest first.
type Ledger []Row

// Load reads and checks a list.
func Load(file string) (Ledger, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	l, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return l, nil
}

// Parse reads and checks a list. One without rows is fine.
func Parse(text []byte) (Ledger, error) {
	var l Ledger
	if err := yaml.UnmarshalStrict(text, &l); err != nil {
		return nil, err
	}
	for i, r := range l {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		if err := l[:i].admits(r); err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
	}
	return l, nil
}

var (
	componentForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	versionForm   = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
	commitForm    = regexp.MustCompile(`^[0-9a-f]{40}$`)
	toolchainForm = regexp.MustCompile(`^go1\.[0-9]+(\.[0-9]+|rc[0-9]+)?$`)
	digestForm    = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func (r Row) check() error {
	for _, f := range []struct {
		what, value string
		form        *regexp.Regexp
		want        string
	}{
		{"component", r.Component, componentForm, "lower-case letters, digits and \"-\""},
		{"version", r.Version, versionForm, "a semantic version without \"+\""},
		{"commit", r.Commit, commitForm, "40 lower-case hex digits"},
		{"toolchain", r.Toolchain, toolchainForm, "a Go release such as go1.26.8"},
		{"digest", r.Digest, digestForm, "64 lower-case hex digits"},
	} {
		if !f.form.MatchString(f.value) {
			return fmt.Errorf("%s: %s %q: want %s", r, f.what, f.value, f.want)
		}
	}
	return nil
}

// admits returns nil when a row may follow: versions of a component only grow.
func (l Ledger) admits(r Row) error {
	if last, ok := l.Last(r.Component); ok && rpm.CompareVersions(r.Version, last.Version) <= 0 {
		return fmt.Errorf("%s does not come after %s, which is released already: raise the version in its component.yaml", r, last)
	}
	return nil
}

// Last returns the newest row of a component.
func (l Ledger) Last(component string) (Row, bool) {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].Component == component {
			return l[i], true
		}
	}
	return Row{}, false
}

// Find returns the row of one version.
func (l Ledger) Find(component, version string) (Row, bool) {
	for _, r := range l {
		if r.Component == component && r.Version == version {
			return r, true
		}
	}
	return Row{}, false
}

// Select returns the rows that arguments of the form component=version name; all without arguments.
func (l Ledger) Select(arguments ...string) (Ledger, error) {
	if len(arguments) == 0 {
		return l, nil
	}
	var out Ledger
	for _, a := range arguments {
		component, version, _ := strings.Cut(a, "=")
		r, ok := l.Find(component, version)
		if !ok {
			return nil, fmt.Errorf("%q names no released version: want component=version as in %s", a, File)
		}
		out = append(out, r)
	}
	return out, nil
}

// Append adds rows to the file, keeping what is there. Nothing is written when one of them may not follow.
func Append(file string, rows ...Row) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	for _, r := range rows { // quoted: some hex digits would be a number to YAML
		text = fmt.Appendf(text, "- {component: %s, version: %s, commit: %q, toolchain: %s, digest: %q}\n", r.Component, r.Version, r.Commit, r.Toolchain, r.Digest)
	}
	if _, err := Parse(text); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	tmp := file + ".new"
	if err := os.WriteFile(tmp, text, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}
