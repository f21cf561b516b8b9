// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package yard

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/ashlar-nos/ashlar/rpm/internal/ledger"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// store keeps packages in a directory, each with a stamp beside it that says what it was made of, so that nothing is
// packed twice.
type store struct {
	dir string
	key *rpm.Key
}

// Package is one that the store holds.
type Package struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	Digest    string `json:"digest"`
	// Built is the build time in the header, in seconds since 1970.
	Built int64 `json:"built"`

	// What it was made of: the digest of all that goes in, the commit if it is a release's, and who signed.
	Inputs string `json:"inputs"`
	Commit string `json:"commit,omitempty"`
	Signer string `json:"signer"`
	// How its file was left: another size or time means that somebody changed it since.
	Size     int64 `json:"size"`
	Modified int64 `json:"modified"` // nanoseconds since 1970

	// Fresh: packed just now.
	Fresh bool `json:"-"`
}

// FileName is the name of its file.
func (p Package) FileName() string { return rpm.FileName(p.Component, p.Version, rpm.HostArch()) }

func (s store) file(name string) string { return filepath.Join(s.dir, name) }

// load returns what is kept under a file name, if it is still as it was left and signed by this store's key.
func (s store) load(name string) (Package, bool) {
	var p Package
	text, err := os.ReadFile(s.file(name) + ".json")
	if err != nil || json.Unmarshal(text, &p) != nil {
		return Package{}, false
	}
	info, err := os.Stat(s.file(name))
	if err != nil || info.Size() != p.Size || info.ModTime().UnixNano() != p.Modified || p.Signer != s.key.ID() {
		return Package{}, false
	}
	return p, true
}

// released returns the package of a row. Digests are recorded for one architecture; on another the commit must do.
func (s store) released(r ledger.Row) (Package, bool) {
	p, ok := s.load(rpm.FileName(r.Component, r.Version, rpm.HostArch()))
	if rpm.HostArch() == ledger.Arch {
		return p, ok && p.Digest == r.Digest
	}
	return p, ok && p.Commit == r.Commit
}

// pack makes the package of a component's directory unless it is there. commit is empty for the working tree's.
func (s store) pack(tree string, when time.Time, commit string) (Package, error) {
	m, err := manifest.Load(filepath.Join(tree, "component.yaml"))
	if err != nil {
		return Package{}, err
	}
	inputs, err := inputsOf(tree, when)
	if err != nil {
		return Package{}, err
	}
	name := rpm.FileName(m.Name, m.Version, rpm.HostArch())
	if p, ok := s.load(name); ok && p.Inputs == inputs && (commit == "" || p.Commit == commit) {
		return p, nil
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return Package{}, err
	}
	file, err := rpm.Build(tree, s.dir, s.key, when)
	if err != nil {
		return Package{}, err
	}
	opened, err := rpm.Open(file, s.key.Keyring())
	if err != nil {
		return Package{}, err
	}
	return s.stamp(Package{Component: m.Name, Version: m.Version, Digest: opened.Digest, Built: when.Unix(),
		Inputs: inputs, Commit: commit, Signer: s.key.ID(), Fresh: true})
}

func (s store) stamp(p Package) (Package, error) {
	info, err := os.Stat(s.file(p.FileName()))
	if err != nil {
		return Package{}, err
	}
	p.Size, p.Modified = info.Size(), info.ModTime().UnixNano()
	text, err := json.Marshal(p)
	if err != nil {
		return Package{}, err
	}
	return p, os.WriteFile(s.file(p.FileName())+".json", text, 0o644)
}

// drop forgets a package.
func (s store) drop(name string) error {
	for _, file := range []string{s.file(name) + ".json", s.file(name)} {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// keep drops all packages but these.
func (s store) keep(names []string) error {
	files, err := filepath.Glob(s.file("*.rpm"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if !slices.Contains(names, filepath.Base(file)) {
			if err := s.drop(filepath.Base(file)); err != nil {
				return err
			}
		}
	}
	return nil
}

// inputsOf is a digest over all that a package is made of: names, modes and contents of the files, the build time, and
// this program, whose form of packing may be another tomorrow.
func inputsOf(tree string, when time.Time) (string, error) {
	sum := sha256.New()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(sum, "%d\n", when.Unix())
	if err := hashFile(sum, "", self); err != nil {
		return "", err
	}
	err = filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(tree, path)
		if err != nil {
			return err
		}
		return hashFile(sum, rel, path)
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

func hashFile(w io.Writer, name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%q %o %d\n", name, info.Mode().Perm(), info.Size())
	_, err = io.Copy(w, f)
	return err
}
