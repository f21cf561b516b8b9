// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package intent

import (
	"fmt"

	"google.golang.org/grpc/codes"
)

// Refusal is an error with the path at fault and a sentence for the operator.
type Refusal struct {
	Path   string
	Code   codes.Code
	Reason string
}

func (r *Refusal) Error() string { return r.Path + ": " + r.Reason }

// Refuse makes a refusal.
func Refuse(path string, code codes.Code, format string, args ...any) *Refusal {
	return &Refusal{Path: path, Code: code, Reason: fmt.Sprintf(format, args...)}
}

func invalid(path, format string, args ...any) *Refusal {
	return Refuse(path, codes.InvalidArgument, format, args...)
}
