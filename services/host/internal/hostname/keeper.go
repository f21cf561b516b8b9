// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package hostname

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Keeper keeps the host name of its UTS namespace. It needs CAP_SYS_ADMIN to change it. Safe for
// concurrent use.
type Keeper struct {
	file string
	log  *slog.Logger

	mu        sync.Mutex
	wanted    string
	repairs   uint64
	identity  string
	inherited record
}

// record is the name that was found before the first change, on disk.
type record struct {
	// Identity is the namespace and boot in which it was found.
	Identity string `json:"identity"`
	Found    string `json:"found"`
}

// NewKeeper returns a keeper that remembers in the directory. It changes nothing, on disk neither, before Want.
func NewKeeper(dir string, log *slog.Logger) (*Keeper, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	namespace, err := os.Readlink("/proc/self/ns/uts")
	if err != nil {
		return nil, err
	}
	return &Keeper{file: filepath.Join(dir, "hostname.json"), log: log, identity: strings.TrimSpace(string(boot)) + " " + namespace}, nil
}

// Current is the name that the machine has now.
func Current() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	name, _, _ := bytes.Cut(u.Nodename[:], []byte{0})
	return string(name), nil
}

// Want makes the machine have the name; "" gives back the one that was found. After an error the name is
// what it was.
func (k *Keeper) Want(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	if name == "" {
		err = k.giveBack()
	} else {
		err = k.take(name)
	}
	if err == nil {
		k.wanted = name
	}
	return err
}

// Insist is Want for a name that is decided: what fails now is tried again by each Repair.
func (k *Keeper) Insist(name string) error {
	err := k.Want(name)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = name
	return err
}

func (k *Keeper) take(name string) error {
	now, err := Current()
	if err != nil {
		return err
	}
	if _, ok := k.load(); !ok {
		first := record{k.identity, now}
		if k.ours(k.inherited) {
			first = k.inherited
		}
		if err := k.save(first); err != nil {
			return fmt.Errorf("keeping the host name that was found: %w", err)
		}
	}
	return set(now, name)
}

func (k *Keeper) giveBack() error {
	r, ok := k.found()
	if !ok {
		return nil
	}
	now, err := Current()
	if err != nil {
		return err
	}
	if err := set(now, r.Found); err != nil {
		return err
	}
	k.inherited = record{}
	if err := os.Remove(k.file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// set changes the name unless it is that already.
func set(now, name string) error {
	if now == name {
		return nil
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("setting the host name %q: %w", name, err)
	}
	return nil
}

// Repair puts the name back when somebody else changed it, and returns the name that the machine has then.
func (k *Keeper) Repair() (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, err := Current()
	if err != nil || k.wanted == "" || now == k.wanted {
		return now, err
	}
	if err := k.take(k.wanted); err != nil {
		return now, err
	}
	k.repairs++
	k.log.Warn("the host name was not as configured; it was put back", "found", now, "configured", k.wanted)
	return k.wanted, nil
}

// Wanted is the name that the machine is kept at; "" when none is.
func (k *Keeper) Wanted() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wanted
}

// Export returns the name that was found before the first change, for another keeper to Import; nil when there is none.
func (k *Keeper) Export() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.found()
	if !ok {
		return nil, nil
	}
	return json.Marshal(r)
}

// Import takes what another keeper exported. It counts where the disk has no record.
func (k *Keeper) Import(b []byte) error {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("the host name that was found: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.inherited = r
	return nil
}

// Repairs counts how often the name was put back.
func (k *Keeper) Repairs() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.repairs
}

// found is the name before the first change, by the disk or else by a predecessor.
func (k *Keeper) found() (record, bool) {
	if r, ok := k.load(); ok {
		return r, true
	}
	return k.inherited, k.ours(k.inherited)
}

// ours reports whether a record is of this namespace and boot.
func (k *Keeper) ours(r record) bool { return r.Identity == k.identity && r.Found != "" }

// load returns the record on disk, if it is of this namespace and boot.
func (k *Keeper) load() (record, bool) {
	b, err := os.ReadFile(k.file)
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, false
	}
	var r record
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		k.log.Error("the record of the host name that was found is unusable", "file", k.file, "error", err)
		return record{}, false
	}
	return r, k.ours(r)
}

// save writes the record durably.
func (k *Keeper) save(r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(k.file), 0o750); err != nil {
		return err
	}
	temporary := k.file + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, k.file)
}
