// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// ErrTooLarge says that no transaction of the state store can hold a change. Nothing changed.
var ErrTooLarge = errors.New("too large for one transaction")

const (
	// MaxObjects is how many objects one commit may change: the state store's limit of 20,000 operations, with
	// room for the head, the record and the records that it drops.
	MaxObjects = 19_800
	// MaxBytes is how large a commit may be: the state store's limit of 15 MiB, with the same room.
	MaxBytes = 15<<20 - 64<<10
	// operationBytes and recordBytes are more than an operation and an entry of the record take beside the key,
	// the path and the JSON.
	operationBytes = 64
	recordBytes    = 32
)

// Fits tells whether a commit of the changes, and one of their inverse, is within the limits of the state
// store; else the error wraps ErrTooLarge and says what to do.
func Fits(changes []Change) error {
	if len(changes) > MaxObjects {
		return fmt.Errorf("%w: %d objects change, at most %d may; split the Set", ErrTooLarge, len(changes), MaxObjects)
	}
	// A commit writes what is new and records what was; its inverse writes what was and records what is new.
	size := 0
	for _, c := range changes {
		size += len(objectKey(c.Path)) + operationBytes + recordBytes + 2*proto.Size(c.Path) + len(c.Old) + len(c.New)
	}
	if size > MaxBytes {
		return fmt.Errorf("%w: what changes, before and after, takes %d bytes, at most %d may; split the Set", ErrTooLarge, size, MaxBytes)
	}
	return nil
}
