// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import "fmt"

// Kind says what sort of mistake an Error is. The gNMI boundary maps it to a code.
type Kind uint8

const (
	// BadPath is a path that cannot be read or does not fit the operation: a missing key, an unknown key, a wildcard
	// where none may stand. gNMI: InvalidArgument.
	BadPath Kind = iota + 1
	// UnknownPath is a well-formed path that the model does not have. gNMI: NotFound.
	UnknownPath
	// BadValue is a value that its type, its place or a cross-reference refuses. gNMI: InvalidArgument.
	BadValue
	// ReadOnly is a write to a state node. gNMI: InvalidArgument.
	ReadOnly
	// Unsupported is an origin, an encoding or a form of value that is not offered. gNMI: Unimplemented.
	Unsupported
)

// Error is a refusal: where, and what is wrong in words for the operator.
type Error struct {
	Kind Kind
	// Path is the place at fault as text, as precise as it is known. "/" is the root.
	Path   string
	Reason string
}

func (e *Error) Error() string { return e.Path + ": " + e.Reason }

func refuse(kind Kind, path, format string, args ...any) *Error {
	return &Error{Kind: kind, Path: path, Reason: fmt.Sprintf(format, args...)}
}
