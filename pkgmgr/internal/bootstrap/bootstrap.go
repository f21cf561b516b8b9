// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package bootstrap installs a device from a repository: it makes the package manager's store and the first
// generation below a root on which nothing runs yet. After an error it can be run again.
package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/durable"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generations"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/identity"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// Options are what a device is installed from.
type Options struct {
	Root string
	// Repository is a directory with *.rpm, evidence/ and keys/.
	Repository string
	// Keys is the directory of the keys to trust; the repository's own when empty.
	Keys string
	// Versions are the components that do not get their newest version.
	Versions map[string]string
	Now      time.Time
	Out      io.Writer
}

// Run installs. The caller is root.
func Run(o Options) error {
	l, err := layout.New(o.Root)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("bootstrap must run as root: it gives the package manager's files to a user of their own")
	}
	if err := stopped(l); err != nil {
		return err
	}
	dir := l.ComponentState(plan.Manager)
	if target, err := os.Readlink(filepath.Join(dir, generations.Committed)); err == nil {
		return fmt.Errorf("the device below %s is installed already: it boots %s; add packages with `ashlar install add`", l.Root, target)
	}
	for _, d := range []string{l.StateDir(), l.RunDir(), l.LogDir(), l.ComponentState(plan.Supervisor), dir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := install(dir, o); err != nil {
		return err
	}
	return give(l, dir)
}

// stopped refuses while a supervisor has the device.
func stopped(l layout.Layout) error {
	f, err := os.Open(filepath.Join(l.ComponentState(plan.Supervisor), "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("a supervisor runs the device below %s: stop it first (SIGTERM to ashlard)", l.Root)
	}
	return nil
}

func install(dir string, o Options) error {
	if err := trust(dir, o); err != nil {
		return err
	}
	st, err := store.Open(dir)
	if err != nil {
		return err
	}
	if err := st.Prepare(); err != nil {
		return err
	}
	keyring, err := st.Keyring()
	if err != nil {
		return err
	}
	chosen, err := choose(o, keyring)
	if err != nil {
		return err
	}
	members, err := admit(st, chosen, o)
	if err != nil {
		return err
	}
	gens, err := generations.Open(dir)
	if err != nil {
		return err
	}
	if err := gens.Make(generations.Generation{ID: 1, Made: o.Now, Members: members}, st.Tree); err != nil {
		return err
	}
	if err := gens.Commit(1); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "generation 1 of %d components; ashlard --root %s --generation %s boots it\n", len(members), o.Root, filepath.Join(dir, generations.Committed))
	return nil
}

// trust copies the keys into the device's keyring.
func trust(dir string, o Options) error {
	from := o.Keys
	if from == "" {
		from = filepath.Join(o.Repository, "keys")
	}
	if _, err := rpm.LoadKeyring(from); err != nil {
		return fmt.Errorf("%w; --keys names the directory of the public keys to trust", err)
	}
	to := filepath.Join(dir, store.KeysDir)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, pattern := range []string{"*.asc", "*.yaml"} {
		files, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err == nil {
				err = durable.WriteFile(filepath.Join(to, filepath.Base(file)), text, 0o644)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// candidate is a package of the repository.
type candidate struct {
	file string
	pkg  *rpm.Package
}

// choose picks one package of each component. What is refused matters only when it is missed.
func choose(o Options, keyring rpm.Keyring) (map[string]candidate, error) {
	files, err := filepath.Glob(filepath.Join(o.Repository, "*.rpm"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no packages (*.rpm): is it a repository? `make rpm` makes one in build/repo", o.Repository)
	}
	chosen := map[string]candidate{}
	var refused []string
	for _, file := range files {
		p, err := rpm.Open(file, keyring)
		if err != nil {
			refused = append(refused, err.Error())
			continue
		}
		want, bound := o.Versions[p.Component]
		if bound && p.Version != want {
			continue
		}
		if best, ok := chosen[p.Component]; !ok || store.CompareVersions(best.pkg.Version, p.Version) < 0 {
			chosen[p.Component] = candidate{file, p}
		}
	}
	return chosen, complete(chosen, o, refused)
}

func complete(chosen map[string]candidate, o Options, refused []string) error {
	var missing []string
	for _, component := range []string{plan.Manager, plan.Supervisor} {
		if _, ok := chosen[component]; !ok && o.Versions[component] == "" {
			missing = append(missing, component)
		}
	}
	for _, component := range slices.Sorted(maps.Keys(o.Versions)) {
		if _, ok := chosen[component]; !ok {
			missing = append(missing, component+" "+o.Versions[component])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s has no package that can be used of %s", o.Repository, strings.Join(missing, ", "))
	if len(refused) > 0 {
		text += "; refused were:\n  " + strings.Join(refused, "\n  ")
	}
	return errors.New(text)
}

// admit brings the packages and all evidence into the store. Evidence that is refused is told and left out: the
// device boots without, and will not upgrade on the strength of it.
func admit(st *store.Store, chosen map[string]candidate, o Options) (map[string]string, error) {
	batch, err := st.Begin()
	if err != nil {
		return nil, err
	}
	defer batch.Close()
	evidence, err := filepath.Glob(filepath.Join(o.Repository, "evidence", "*.json*"))
	if err != nil {
		return nil, err
	}
	for _, component := range slices.Sorted(maps.Keys(chosen)) {
		if err := send(batch, chosen[component].file); err != nil {
			return nil, err
		}
	}
	for _, file := range evidence {
		if err := send(batch, file); err != nil {
			return nil, err
		}
	}
	added, err := batch.Admit(o.Now)
	if err != nil {
		return nil, err
	}
	members := map[string]string{}
	for _, a := range added {
		switch {
		case a.Package != nil:
			members[a.Package.Component] = a.Package.Digest
			fmt.Fprintf(o.Out, "%s %s, signed by %s\n", a.Package, a.Package.Digest[:12], a.Package.Signer)
		case a.Refusal != nil && strings.HasSuffix(a.Name, ".rpm"):
			return nil, a.Refusal
		case a.Refusal != nil:
			fmt.Fprintln(o.Out, "left out:", a.Refusal)
		}
	}
	return members, nil
}

func send(batch *store.Batch, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := batch.Next(filepath.Base(file)); err != nil {
		return err
	}
	_, err = io.Copy(batch, f)
	return err
}

// give makes everything the package manager's, by the user id that the supervisor will start it under.
func give(l layout.Layout, dir string) error {
	users, err := identity.Open(filepath.Join(l.ComponentState(plan.Supervisor), "uids.json"))
	if err != nil {
		return err
	}
	uid, err := users.ID(plan.Manager)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(uid), int(uid))
	})
}
