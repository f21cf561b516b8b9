// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package yard makes packages: of the working tree, and of released versions, each from the commit that its row in
// rpm/releases.yaml names. It does nothing twice: what goes into a package is compared before anything is packed, and a
// released version whose package is there with the recorded digest is not built again.
//
// It writes below its work directory and its repository only. A lock on the work directory keeps a second yard waiting, in
// this process or another, so that methods may be called from anywhere.
package yard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/ashlar-nos/ashlar/rpm/internal/history"
	"github.com/ashlar-nos/ashlar/rpm/internal/ledger"
	"github.com/ashlar-nos/ashlar/rpm/internal/source"
)

// Yard is where packages are made.
type Yard struct {
	// Root is the top of the git working tree.
	Root string
	// Work is where components' directories and packages are kept.
	Work string
	// Repository takes the packages, and Key signs them; neither is needed for Trees and Times.
	Repository string
	Key        *rpm.Key
	// Log is told what is made, a line each.
	Log io.Writer
}

func (y *Yard) store() store { return store{filepath.Join(y.Work, "packages"), y.Key} }

// TreesDir is where Trees puts the components' directories.
func (y *Yard) TreesDir() string { return filepath.Join(y.Work, "trees") }

// lock waits until no other yard uses the work directory. The operating system opens it again when this process dies.
func (y *Yard) lock() (release func(), err error) {
	if err := os.MkdirAll(y.Work, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(y.Work, ".yard"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		fmt.Fprintln(y.Log, "waiting  for another build in", y.Work)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Trees compiles the working tree's components, those of the names or all, into directories below TreesDir, and returns them.
func (y *Yard) Trees(ctx context.Context, names ...string) ([]source.Component, error) {
	release, err := y.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	tree, err := source.Open(y.Root)
	if err != nil {
		return nil, err
	}
	components, err := tree.Select(names...)
	if err != nil {
		return nil, err
	}
	return components, tree.Build(ctx, y.TreesDir(), "", components)
}

// Times returns the build time of the components of the names, or of all: the time of the last commit that touched a file
// which their package is made of.
func (y *Yard) Times(ctx context.Context, names ...string) (map[string]time.Time, error) {
	repository, err := history.Open(ctx, y.Root)
	if err != nil {
		return nil, err
	}
	tree, err := source.Open(y.Root)
	if err != nil {
		return nil, err
	}
	components, err := tree.Select(names...)
	if err != nil {
		return nil, err
	}
	return times(ctx, repository, tree, components)
}

func times(ctx context.Context, repository history.Repository, tree *source.Tree, components []source.Component) (map[string]time.Time, error) {
	inputs, err := tree.Inputs(ctx, components)
	if err != nil {
		return nil, err
	}
	out := map[string]time.Time{}
	for component, files := range inputs {
		if out[component], err = repository.LastChange(ctx, files); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// PackTree packs every component of the working tree and offers the packages in the repository, which keeps no others but
// those of released versions.
func (y *Yard) PackTree(ctx context.Context) ([]Package, error) {
	release, err := y.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	rows, err := ledger.Load(filepath.Join(y.Root, ledger.File))
	if err != nil {
		return nil, err
	}
	repository, err := history.Open(ctx, y.Root)
	if err != nil {
		return nil, err
	}
	tree, err := source.Open(y.Root)
	if err != nil {
		return nil, err
	}
	packages, err := y.packAll(ctx, batch{repository: repository, tree: tree, out: y.TreesDir()})
	if err != nil {
		return nil, err
	}
	if err := y.checkUnreleased(tree, rows, packages); err != nil {
		return nil, err
	}
	var only []string
	for _, p := range packages {
		only = append(only, p.FileName())
	}
	for _, r := range rows {
		only = append(only, rpm.FileName(r.Component, r.Version, rpm.HostArch()))
	}
	return packages, y.offer(ctx, packages, only)
}

// checkUnreleased refuses packages that a released version's name stands on, but not its content.
func (y *Yard) checkUnreleased(tree *source.Tree, rows ledger.Ledger, packages []Package) error {
	var failed []error
	for _, p := range packages {
		row, ok := rows.Find(p.Component, p.Version)
		if !ok || row.Digest == p.Digest || rpm.HostArch() != ledger.Arch {
			continue
		}
		components, err := tree.Select(p.Component)
		if err != nil {
			return err
		}
		failed = append(failed, fmt.Errorf("%s is released already and the working tree's is another: raise the version in %s/component.yaml", row, components[0].Dir),
			y.store().drop(p.FileName()))
	}
	return errors.Join(failed...)
}

// batch is what is built and packed in one go.
type batch struct {
	repository history.Repository
	tree       *source.Tree
	// out takes the components' directories.
	out string
	// names of the components; all when there are none.
	names []string
	// commit and toolchain are a release's; empty for the working tree.
	commit, toolchain string
}

// packAll builds and packs, in the order of the batch's names.
func (y *Yard) packAll(ctx context.Context, b batch) ([]Package, error) {
	components, err := b.tree.Select(b.names...)
	if err != nil {
		return nil, err
	}
	built, err := times(ctx, b.repository, b.tree, components)
	if err != nil {
		return nil, err
	}
	if err := b.tree.Build(ctx, b.out, b.toolchain, components); err != nil {
		return nil, err
	}
	out := make([]Package, len(components))
	var say sync.Mutex
	var workers errgroup.Group
	workers.SetLimit(runtime.NumCPU())
	for i, c := range components {
		workers.Go(func() (err error) {
			if out[i], err = y.store().pack(filepath.Join(b.out, c.Name), built[c.Name], b.commit); err != nil {
				return fmt.Errorf("%s %s: %w", c.Name, c.Version, err)
			}
			say.Lock()
			defer say.Unlock()
			y.tell(out[i])
			return ctx.Err()
		})
	}
	return out, workers.Wait()
}

func (y *Yard) tell(p Package) {
	what := "have    "
	if p.Fresh {
		what = "packed  "
	}
	fmt.Fprintf(y.Log, "%s %-12s %-8s %.16s  built %s\n", what, p.Component, p.Version, p.Digest, time.Unix(p.Built, 0).UTC().Format(time.DateTime))
}
