// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package store keeps what the device may run: packages that a trusted key has signed, unpacked each in a directory
// of its digest, and signed results of contract tests.
//
// What it promises:
//   - What it lists was verified against the keyring and is on the disk, whole.
//   - What it refuses, and what did not fit, leaves nothing behind; the refusal names the file and says why.
//   - Adding again what is there changes nothing.
//
// Open only reads; Prepare is what begins to write. A Store is safe for concurrent use.
package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// The directories of a store.
const (
	dirTrees    = "store"
	dirPackages = "packages"
	dirEvidence = "evidence"
	dirIncoming = "incoming"
	// KeysDir holds the keyring: *.asc with optional *.yaml delegations.
	KeysDir = "keys"
)

// Store is the packages and the evidence of a device.
type Store struct {
	dir string

	mu       sync.RWMutex
	packages map[string]*Package
	evidence map[string]*Evidence
	faults   []error
	adding   sync.Mutex
}

// Open reads what the store holds; a store that does not exist yet is empty. An entry that cannot be read is left
// out and named by Faults.
func Open(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s := &Store{dir: abs, packages: map[string]*Package{}, evidence: map[string]*Evidence{}}
	if err := s.readPackages(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := s.readEvidence(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, nil
}

// Faults are the entries that Open could not read.
func (s *Store) Faults() []error { return s.faults }

// Prepare makes the directories and removes what an interrupted Add left behind.
func (s *Store) Prepare() error {
	for _, d := range []string{"", dirTrees, dirPackages, dirEvidence, KeysDir} {
		path := filepath.Join(s.dir, d)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		// The supervisor and every component read here, whatever the umask was.
		if err := os.Chmod(path, 0o755); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	if err := os.RemoveAll(filepath.Join(s.dir, dirIncoming)); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return s.sweep()
}

// sweep removes trees and files of packages whose record was never written.
func (s *Store) sweep() error {
	for _, d := range []string{dirTrees, dirPackages} {
		entries, err := os.ReadDir(filepath.Join(s.dir, d))
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		for _, e := range entries {
			digest, _, _ := strings.Cut(strings.TrimPrefix(e.Name(), "."), ".")
			if _, err := os.Lstat(s.record(digest)); errors.Is(err, fs.ErrNotExist) {
				os.RemoveAll(filepath.Join(s.dir, d, e.Name()))
			}
		}
	}
	return nil
}

// Keyring reads the keys that are trusted now.
func (s *Store) Keyring() (rpm.Keyring, error) { return rpm.LoadKeyring(filepath.Join(s.dir, KeysDir)) }

// Packages returns all packages, by component, version and digest.
func (s *Store) Packages() []*Package {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*Package, 0, len(s.packages))
	for _, p := range s.packages {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Package) int {
		if n := strings.Compare(a.Component, b.Component); n != 0 {
			return n
		}
		if n := CompareVersions(a.Version, b.Version); n != 0 {
			return n
		}
		return strings.Compare(a.Digest, b.Digest)
	})
	return out
}

// Package returns a package by its digest.
func (s *Store) Package(digest string) (*Package, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, ok := s.packages[digest]
	return p, ok
}

// Evidence returns all evidence, each by a signer that is trusted for it.
func (s *Store) Evidence() []*Evidence {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*Evidence, 0, len(s.evidence))
	for _, e := range s.evidence {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *Evidence) int { return strings.Compare(a.Digest, b.Digest) })
	return out
}

// Tree is where a package's directory lies.
func (s *Store) Tree(digest string) string { return filepath.Join(s.dir, dirTrees, digest) }

// File is where a package's RPM lies.
func (s *Store) File(digest string) string { return filepath.Join(s.dir, dirPackages, digest+".rpm") }

func (s *Store) record(digest string) string {
	return filepath.Join(s.dir, dirPackages, digest+".json")
}

var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// IsDigest reports whether a text has a digest's form.
func IsDigest(text string) bool { return digestForm.MatchString(text) }

// entry is what the store writes of a package when it was admitted; the rest is read from its tree.
type entry struct {
	Signer string    `json:"signer"`
	Size   uint64    `json:"size"`
	Added  time.Time `json:"added"`
}

func (s *Store) readPackages() error {
	files, err := filepath.Glob(filepath.Join(s.dir, dirPackages, "*.json"))
	if err != nil {
		return err
	}
	for _, file := range files {
		digest := strings.TrimSuffix(filepath.Base(file), ".json")
		if !IsDigest(digest) {
			continue
		}
		p, err := s.readPackage(digest)
		if err != nil {
			s.faults = append(s.faults, fmt.Errorf("package %s is not usable: %w; add it again", digest[:12], err))
			continue
		}
		s.packages[digest] = p
	}
	return nil
}

func (s *Store) readPackage(digest string) (*Package, error) {
	text, err := os.ReadFile(s.record(digest))
	if err != nil {
		return nil, err
	}
	var e entry
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("%s: %w", s.record(digest), err)
	}
	tree := s.Tree(digest)
	m, err := manifest.Load(filepath.Join(tree, "component.yaml"))
	if err != nil {
		return nil, err
	}
	contracts, err := contractHashes(tree, m)
	if err != nil {
		return nil, err
	}
	return &Package{
		Component: m.Name, Version: m.Version, Digest: digest, Summary: m.Summary, Signer: e.Signer, Size: e.Size,
		Added: e.Added, Manifest: m, Contracts: contracts, Tree: tree,
	}, nil
}

// contractHashes reads the contract files that a tree ships of what it requires.
func contractHashes(tree string, m *manifest.Manifest) (map[string]string, error) {
	out := map[string]string{}
	for _, r := range m.Requires {
		text, err := os.ReadFile(filepath.Join(tree, "contracts", r.Contract+".yaml"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		out[r.Contract] = hex.EncodeToString(sum[:])
	}
	return out, nil
}
