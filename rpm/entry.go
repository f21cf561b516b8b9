// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"fmt"
	"path"
	"strings"
)

const (
	owner       = "root"
	modeType    = 0o170000
	modeDir     = 0o040000
	modeRegular = 0o100000
)

// entry is a file or directory as the header has it.
type entry struct {
	path   string
	mode   uint32 // st_mode
	size   int64  // of a regular file, in bytes
	digest string // SHA-256 of a regular file, hex
}

func (e entry) dir() bool { return e.mode&modeType == modeDir }

// entries reads the header's list of files: only plain files and directories, below tree or on the way to it,
// each below a directory of the list.
func (h *header) entries(tree string) ([]entry, error) {
	names, err := h.paths()
	if err != nil {
		return nil, err
	}
	columns := map[uint32][]uint32{}
	for _, tag := range []uint32{tagFileModes, tagFileSizes, tagFileFlags} {
		if columns[tag] = h.numbers(tag); len(columns[tag]) != len(names) {
			return nil, fmt.Errorf("%w: %d files, but %d values of tag %d", ErrForbidden, len(names), len(columns[tag]), tag)
		}
	}
	words := map[uint32][]string{}
	for _, tag := range []uint32{tagFileDigests, tagFileLinkTos, tagFileUserName, tagFileGroupName} {
		if words[tag] = h.texts(tag); len(words[tag]) != len(names) {
			return nil, fmt.Errorf("%w: %d files, but %d values of tag %d", ErrForbidden, len(names), len(words[tag]), tag)
		}
	}
	out := make([]entry, len(names))
	for i, name := range names {
		out[i] = entry{path: name, mode: columns[tagFileModes][i], digest: words[tagFileDigests][i]}
		if !out[i].dir() {
			out[i].size = int64(columns[tagFileSizes][i])
		}
		if err := out[i].check(tree); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrForbidden, err)
		}
		if columns[tagFileFlags][i] != 0 || words[tagFileLinkTos][i] != "" || words[tagFileUserName][i] != owner || words[tagFileGroupName][i] != owner {
			return nil, fmt.Errorf("%w: %s is not a plain file of %s", ErrForbidden, name, owner)
		}
	}
	return out, checkSet(out)
}

// paths joins the header's directories and base names.
func (h *header) paths() ([]string, error) {
	bases, dirs, index := h.texts(tagBaseNames), h.texts(tagDirNames), h.numbers(tagDirIndexes)
	if len(bases) == 0 || len(bases) > maxFiles || len(index) != len(bases) {
		return nil, fmt.Errorf("%w: %d files with %d directories' numbers, want 1 to %d", ErrForbidden, len(bases), len(index), maxFiles)
	}
	out := make([]string, len(bases))
	for i, base := range bases {
		if int64(index[i]) >= int64(len(dirs)) {
			return nil, fmt.Errorf("%w: file %q is in directory %d of %d", ErrForbidden, base, index[i], len(dirs))
		}
		if dir := dirs[index[i]]; strings.Contains(base, "/") || len(dir)+len(base) > maxPathLength {
			return nil, fmt.Errorf("%w: file %.40q in directory %.40q: want a plain name and at most %d bytes", ErrForbidden, base, dir, maxPathLength)
		}
		out[i] = dirs[index[i]] + base
	}
	return out, nil
}

func (e entry) check(tree string) error {
	if e.path != path.Clean(e.path) || !plain(e.path) {
		return fmt.Errorf("path %q: want an absolute one without \"..\", blanks and control characters", e.path)
	}
	below := strings.HasPrefix(e.path, tree+"/")
	above := strings.HasPrefix(tree+"/", e.path+"/") && strings.HasPrefix(e.path+"/", Root+"/")
	if !below && !(above && e.mode&modeType == modeDir) {
		return fmt.Errorf("%s lies outside of %s", e.path, tree)
	}
	return e.checkMode()
}

func (e entry) checkMode() error {
	kinds := map[uint32]string{0o120000: "a symbolic link", 0o020000: "a device node", 0o060000: "a device node", 0o010000: "a pipe", 0o140000: "a socket"}
	permissions := e.mode &^ modeType
	switch {
	case permissions&0o7000 != 0:
		return fmt.Errorf("%s is setuid, setgid or sticky (mode %04o)", e.path, permissions)
	case e.dir() && permissions == 0o755, e.mode&modeType == modeRegular && (permissions == 0o644 || permissions == 0o755):
		return nil
	case e.dir(), e.mode&modeType == modeRegular:
		return fmt.Errorf("%s has mode %04o, want 0644, or 0755 for programs and directories", e.path, permissions)
	}
	if kind, ok := kinds[e.mode&modeType]; ok {
		return fmt.Errorf("%s is %s", e.path, kind)
	}
	return fmt.Errorf("%s is of no known type (mode %06o)", e.path, e.mode)
}

// plain reports whether a path has only characters that are safe in a terminal and a log.
func plain(p string) bool {
	return !strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' })
}

// checkSet checks what concerns all files together.
func checkSet(files []entry) error {
	isDir := map[string]bool{path.Dir(Root): true}
	sum := int64(0)
	for _, f := range files {
		if _, twice := isDir[f.path]; twice {
			return fmt.Errorf("%w: %s stands there twice", ErrForbidden, f.path)
		}
		if !isDir[path.Dir(f.path)] {
			return fmt.Errorf("%w: the directory of %s is not in the package before it", ErrForbidden, f.path)
		}
		isDir[f.path] = f.dir()
		if sum += f.size; sum > maxUnpackedSize {
			return fmt.Errorf("%w: unpacks to more than %d bytes", ErrForbidden, maxUnpackedSize)
		}
	}
	return nil
}
