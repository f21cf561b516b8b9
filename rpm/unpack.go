// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Unpack writes the component's files (component.yaml, bin/…) to dir, which must not exist; the directory above it
// must. Everything is checked again on the way. When it returns nil, dir is there and on the disk; else it is
// not there at all. Files belong to the caller's user.
func (p *Package) Unpack(dir string) error {
	if err := p.unpack(filepath.Clean(dir)); err != nil {
		return fmt.Errorf("%s: %w", p.file, err)
	}
	return nil
}

func (p *Package) unpack(dir string) error {
	f, size, err := openRegular(p.file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := p.unchanged(f); err != nil {
		return err
	}
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s: %w", dir, os.ErrExist)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".unpack-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := p.extract(io.NewSectionReader(f, p.headSize, size-p.headSize), tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// extract writes the payload's files below a directory.
func (p *Package) extract(payload io.Reader, dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	dirs := []string{dir}
	err = p.walk(payload, func(e entry, body io.Reader) error {
		rel, below := strings.CutPrefix(e.path, p.tree+"/")
		switch {
		case !below:
			return nil
		case e.dir():
			dirs = append(dirs, filepath.Join(dir, rel))
			return root.Mkdir(rel, 0o755)
		}
		return extractFile(root, rel, os.FileMode(e.mode&0o777), body)
	})
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

func extractFile(root *os.Root, name string, mode os.FileMode, body io.Reader) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	if e := f.Chmod(mode); err == nil { // whatever the umask
		err = e
	}
	if e := f.Sync(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
