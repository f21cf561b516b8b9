// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
)

// phase orders the steps of all interfaces together: an address leaves one link before it appears on
// another, routes need their address, and neighbours their link up.
type phase int

const (
	remove phase = iota
	settings
	add
	connect
	attach
)

// step is one write to the kernel.
type step struct {
	phase phase
	// subject is the metric's label.
	subject string
	// text says in words what the step does.
	text string
	// path is the place in the model that asks for it.
	path string
	run  func(Kernel, kernel.Link) error
	// address that the step adds, if it adds one.
	address netip.Addr
}

// overtaken reports whether an error only says that the kernel changed since it was read; the next
// reading decides.
func overtaken(p phase, err error) bool {
	if kernel.Gone(err) {
		return true
	}
	if p == remove {
		return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
	}
	exists, down := errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENETDOWN)
	return exists && (p == add || p == connect) || down && (p == attach || p == connect)
}

// refusalOf puts a kernel's error in the operator's words.
func refusalOf(s step, err error) error {
	code := codes.Internal
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ERANGE):
		code = codes.FailedPrecondition
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOSPC):
		code = codes.ResourceExhausted
	}
	return intent.Refuse(s.path, code, "the kernel refused to %s: %v", s.text, err)
}

func asRefusal(path string, err error) *intent.Refusal {
	var r *intent.Refusal
	if errors.As(err, &r) {
		return r
	}
	return intent.Refuse(path, codes.Internal, "%s", fmt.Sprint(err))
}
