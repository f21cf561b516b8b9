// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package faulty

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ashlar-nos/ashlar/rpm"
)

// good is the directory of packages before they are spoilt.
const good = "good"

// buildTime of all of them: they have no commit.
const buildTime = 1_700_000_000

func loadOrMakeKey(dir, name string) (*rpm.Key, error) {
	key, err := rpm.LoadKey(dir)
	if errors.Is(err, os.ErrNotExist) {
		return rpm.NewKey(dir, name)
	}
	return key, err
}

// pack packs a component's directory into dir/good, unless the package there was made of the same.
func pack(tree, dir string, key *rpm.Key) (*rpm.Package, error) {
	out := filepath.Join(dir, good)
	sum, err := sumOf(tree)
	if err != nil {
		return nil, err
	}
	stamp := filepath.Join(out, "made-of")
	if files, _ := filepath.Glob(filepath.Join(out, "*.rpm")); len(files) == 1 {
		before, err := os.ReadFile(stamp)
		p, bad := rpm.Open(files[0], key.Keyring())
		if err == nil && bad == nil && string(before) == sum {
			return p, nil
		}
	}
	if err := errors.Join(os.RemoveAll(out), os.MkdirAll(out, 0o755)); err != nil {
		return nil, err
	}
	file, err := rpm.Build(tree, out, key, time.Unix(buildTime, 0))
	if err != nil {
		return nil, err
	}
	p, err := rpm.Open(file, key.Keyring())
	if err != nil {
		return nil, err
	}
	return p, os.WriteFile(stamp, []byte(sum), 0o644)
}

// sumOf is a digest over a directory's names and contents.
func sumOf(tree string) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(tree, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%q %o %d\n", rel, info.Mode().Perm(), info.Size())
		_, err = io.Copy(sum, f)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}
