// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package yard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ashlar-nos/ashlar/rpm"
)

// offer puts packages into the repository, as further names of the store's files, and renews its metadata if anything is
// other than it was. only, when not nil, lists all file names that may be there: other packages are removed.
func (y *Yard) offer(ctx context.Context, packages []Package, only []string) error {
	if err := os.MkdirAll(y.Repository, 0o755); err != nil {
		return err
	}
	for _, p := range packages {
		if err := sameFile(y.store().file(p.FileName()), filepath.Join(y.Repository, p.FileName())); err != nil {
			return err
		}
	}
	if only != nil {
		if err := y.prune(only); err != nil {
			return err
		}
	}
	return y.publish(ctx)
}

// sameFile makes to another name of from, in one step, unless it is.
func sameFile(from, to string) error {
	wanted, err := os.Stat(from)
	if err != nil {
		return err
	}
	if there, err := os.Stat(to); err == nil && os.SameFile(wanted, there) {
		return nil
	}
	tmp := filepath.Join(filepath.Dir(to), "."+filepath.Base(to)+".new")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(from, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, to)
}

func (y *Yard) prune(only []string) error {
	files, err := filepath.Glob(filepath.Join(y.Repository, "*.rpm"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if slices.Contains(only, filepath.Base(file)) {
			continue
		}
		fmt.Fprintf(y.Log, "removed  %s: neither the tree's nor released\n", filepath.Base(file))
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return y.store().keep(only)
}

// publish writes the metadata unless the packages are those of the last time. Its time is the newest package's.
func (y *Yard) publish(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(y.Repository, "*.rpm"))
	if err != nil {
		return err
	}
	sum, newest := sha256.New(), int64(0)
	fmt.Fprintln(sum, y.Key.ID())
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, info.Name(), info.Size(), info.ModTime().UnixNano())
		if p, ok := y.store().load(info.Name()); ok {
			newest = max(newest, p.Built)
		}
	}
	state, stamp := hex.EncodeToString(sum.Sum(nil)), y.store().file("repository")
	_, missing := os.Stat(filepath.Join(y.Repository, "repodata", "repomd.xml.asc"))
	if last, err := os.ReadFile(stamp); err == nil && missing == nil && string(last) == state {
		return nil
	}
	if err := rpm.Publish(ctx, y.Repository, y.Key, time.Unix(newest, 0)); err != nil {
		return err
	}
	return os.WriteFile(stamp, []byte(state), 0o644)
}
