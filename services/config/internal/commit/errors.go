// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"fmt"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
)

// Refused says that a change cannot be asked of an owner. Nothing changed.
type Refused struct {
	Path string
	// Code is Unimplemented when no component ever declared the path, Unavailable when its owner is away.
	Code   codes.Code
	Reason string

	// away is the owner whose return is worth waiting for, if there is one.
	away *owners.Declaration
}

func (r *Refused) Error() string { return r.Path + ": " + r.Reason }

// Reversed says that a decided change was taken back, because an owner did not put it into effect.
type Reversed struct {
	// Revision that was taken back.
	Revision int64
	// Cause is the owner's refusal, or says that it did not answer.
	Cause error
}

func (r *Reversed) Error() string {
	return fmt.Sprintf("%s; the change (revision %d) was taken back everywhere", r.Cause, r.Revision)
}

func (r *Reversed) Unwrap() error { return r.Cause }
