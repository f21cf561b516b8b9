// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package access says who a gNMI caller is and what the caller may do. Nobody is anybody by default: a
// call without an identity ends as Unauthenticated, a call beyond the identity's role as PermissionDenied,
// and a role that this package does not know may do nothing.
//
// An identity comes from a client certificate that the device's authority signed (the common name is the
// user, and the user must still exist), from username and password in the call's metadata, or, on the unix
// socket, from the kernel (root is the operator). A password that is sent is always verified, even
// beside a certificate.
//
// Everything here is safe for concurrent use.
package access

import (
	"context"
	"errors"
)

// Role is what a user may do.
type Role string

const (
	// Operator may read and change everything.
	Operator Role = "operator"
	// Viewer may read.
	Viewer Role = "viewer"
)

// MayRead tells whether the role may call Capabilities, Get and Subscribe.
func (r Role) MayRead() bool { return r == Operator || r == Viewer }

// MayWrite tells whether the role may call Set.
func (r Role) MayWrite() bool { return r == Operator }

// Identity is an authenticated caller.
type Identity struct {
	// User is the user's name as authenticated.
	User string
	Role Role
	// Means is how the identity was proven: "certificate", "password" or "local".
	Means string
}

var (
	// ErrUnauthenticated is wrapped by every error that says the caller is not who it says, or says nothing.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrDenied is wrapped by every error that says the caller may not do this.
	ErrDenied = errors.New("permission denied")
)

type identityKey struct{}

// FromContext returns the identity of the caller; ok is false outside an authenticated call.
func FromContext(ctx context.Context) (id Identity, ok bool) {
	id, ok = ctx.Value(identityKey{}).(Identity)
	return id, ok
}

// WithIdentity returns a context that carries the identity.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}
