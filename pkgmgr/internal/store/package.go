// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"time"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// Package is a verified package in the store. It is not changed after it was made.
type Package struct {
	Component string
	Version   string
	// Digest is the SHA-256 of the RPM's header, 64 hex digits.
	Digest  string
	Summary string
	// Signer is the id of the key that signed it.
	Signer string
	// Size is the sum of its files' sizes in bytes.
	Size     uint64
	Added    time.Time
	Manifest *manifest.Manifest
	// Contracts has, for each contract that it requires and ships a contract file of, the file's SHA-256 in hex.
	Contracts map[string]string
	// Tree is its unpacked directory, absolute.
	Tree string
}

// String names it for people.
func (p *Package) String() string { return fmt.Sprintf("%s %s", p.Component, p.Version) }
