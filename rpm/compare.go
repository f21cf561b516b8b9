// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Problem is how a file differs from the package's.
type Problem string

// The ways in which a file can differ.
const (
	Missing     Problem = "missing"
	Changed     Problem = "changed"
	Extra       Problem = "not in the package"
	WrongMode   Problem = "wrong mode"
	WrongType   Problem = "wrong type"
	unchanged   Problem = ""
	permissions         = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
)

// Difference is one file or directory that is not as the package has it.
type Difference struct {
	// Path is relative to the component's directory; "." is that directory.
	Path    string
	Problem Problem
	// Detail says in words what was found and what was expected; it may be empty.
	Detail string
}

func (d Difference) String() string {
	if d.Detail == "" {
		return fmt.Sprintf("%s: %s", d.Path, d.Problem)
	}
	return fmt.Sprintf("%s: %s: %s", d.Path, d.Problem, d.Detail)
}

// Compare holds a directory that Unpack once wrote against the package: each file's presence, type, mode and content.
// None when all is as the package has it, else the differences by path. An extra directory counts once, whatever it
// holds. Links are never followed and only files of the expected size are read. The error is of the operating system.
func (p *Package) Compare(dir string) ([]Difference, error) {
	out, err := p.compare(dir)
	if err != nil {
		return nil, fmt.Errorf("rpm: compare %s with %s %s: %w", dir, p.Component, p.Version, err)
	}
	return out, nil
}

func (p *Package) compare(dir string) ([]Difference, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return []Difference{{Path: ".", Problem: Missing}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	want := map[string]entry{".": {mode: modeDir | 0o755}}
	for _, e := range p.files {
		if rel, below := strings.CutPrefix(e.path, p.tree+"/"); below {
			want[rel] = e
		}
	}
	out, err := present(root, want)
	if err != nil {
		return nil, err
	}
	for rel := range want {
		out = append(out, Difference{Path: rel, Problem: Missing})
	}
	slices.SortFunc(out, func(a, b Difference) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// present compares what is in the directory and takes it out of want.
func present(root *os.Root, want map[string]entry) ([]Difference, error) {
	var out []Difference
	err := fs.WalkDir(root.FS(), ".", func(rel string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		e, known := want[rel]
		delete(want, rel)
		if !known {
			out = append(out, Difference{Path: rel, Problem: Extra})
			return skipDir(d)
		}
		found, err := inspectFile(root, rel, d, e)
		if err != nil {
			return err
		}
		if found.Problem != unchanged {
			out = append(out, found)
		}
		if found.Problem == WrongType {
			dropBelow(want, rel)
			return skipDir(d)
		}
		return nil
	})
	return out, err
}

func skipDir(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// dropBelow leaves out what lay in a directory that is none any more.
func dropBelow(want map[string]entry, dir string) {
	for rel := range want {
		if strings.HasPrefix(rel, dir+"/") {
			delete(want, rel)
		}
	}
}

func inspectFile(root *os.Root, rel string, d fs.DirEntry, want entry) (Difference, error) {
	info, err := d.Info()
	if err != nil {
		return Difference{}, err
	}
	mode, kind := fs.FileMode(want.mode&0o777), fs.FileMode(0)
	if want.dir() {
		kind = fs.ModeDir
	}
	switch {
	case info.Mode().Type() != kind:
		return Difference{rel, WrongType, fmt.Sprintf("%s, the package has %s", kindOf(info.Mode()), kindOf(kind))}, nil
	case !want.dir() && info.Size() != want.size:
		return Difference{rel, Changed, fmt.Sprintf("%d bytes, the package has %d", info.Size(), want.size)}, nil
	case !want.dir():
		if got, err := digestOf(root, rel, want.size); err != nil || got != want.digest {
			return Difference{rel, Changed, fmt.Sprintf("SHA-256 %s, the package has %s", got, want.digest)}, err
		}
	}
	if got := info.Mode() & permissions; got != mode {
		return Difference{rel, WrongMode, fmt.Sprintf("%s, the package has %s", got, mode)}, nil
	}
	return Difference{}, nil
}

func kindOf(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	}
	return "a special file"
}

// digestOf returns the SHA-256 of a file's content in hex. A file that grows meanwhile is read one byte too far, no more.
func digestOf(root *os.Root, rel string, size int64) (string, error) {
	f, err := root.Open(rel)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, size+1)); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
