// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"os"

	"github.com/ashlar-nos/ashlar/rpm"
)

// Verify checks a package's RPM against the keys that are trusted now and compares its tree with it, file by file. A key
// that has expired since the package was added is no fault: going back must stay possible.
func (s *Store) Verify(digest string) (differences []rpm.Difference, files int, err error) {
	keyring, err := s.Keyring()
	if err != nil {
		return nil, 0, err
	}
	p, ok := s.Package(digest)
	if !ok {
		return nil, 0, fmt.Errorf("the store has no package %.12s", digest)
	}
	opened, err := rpm.Open(s.File(digest), keyring.At(p.Added))
	if err != nil {
		return nil, 0, err
	}
	if opened.Digest != digest {
		return nil, 0, fmt.Errorf("%s is another package: its digest is %s", s.File(digest), opened.Digest)
	}
	differences, err = opened.Compare(s.Tree(digest))
	return differences, len(opened.Files()), err
}

// Discard removes a package. Whoever calls it has made sure that nothing needs it.
func (s *Store) Discard(digest string) error {
	s.adding.Lock()
	defer s.adding.Unlock()
	s.mu.Lock()
	delete(s.packages, digest)
	s.mu.Unlock()
	// The record goes first: what is left after a power cut is swept.
	for _, remove := range []func() error{
		func() error { return os.Remove(s.record(digest)) },
		func() error { return os.Remove(s.File(digest)) },
		func() error { return os.RemoveAll(s.Tree(digest)) },
	} {
		if err := remove(); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("store: %w", err)
		}
	}
	return nil
}
