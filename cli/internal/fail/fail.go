// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package fail gives every failure an exit code and words that say what to do. It prints nothing.
package fail

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The exit codes.
const (
	OK = 0
	// Refused: the device said no, or what was asked for failed.
	Refused = 1
	// Usage: the command line makes no sense.
	Usage = 2
	// Unreachable: the device, or the component that would answer, does not.
	Unreachable = 3
)

// Error is a failure for the operator.
type Error struct {
	Code int
	// Text says what is wrong, Hint what to do about it; Hint may be empty.
	Text, Hint string
	// Absent: what was asked for is not there (NOT_FOUND).
	Absent bool
}

func (e *Error) Error() string { return e.Text }

// Usagef is a mistake on the command line.
func Usagef(format string, args ...any) *Error {
	return &Error{Code: Usage, Text: fmt.Sprintf(format, args...)}
}

// Refusef is a failure of what was asked for.
func Refusef(hint, format string, args ...any) *Error {
	return &Error{Code: Refused, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// Place is where a call went, for the words of Explain.
type Place struct {
	// Address as the operator would write it; Local when it is a socket of a device on this machine.
	Address string
	Local   bool
	// Component that serves the address.
	Component string
	// Answering names the components of the device on this machine whose sockets somebody listens on. It is
	// called only when the place does not answer; nil is nobody.
	Answering func() []string
}

// Supervisor is the component that starts the others.
const Supervisor = "supervisor"

// Explain turns the error of a call to a place into one for the operator. nil stays nil.
func Explain(err error, at Place) error {
	var known *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	}
	if _, is := status.FromError(err); !is {
		err = status.FromContextError(err).Err()
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unavailable:
		return unavailable(s, at)
	case codes.DeadlineExceeded:
		return &Error{Code: Unreachable, Text: late(at), Hint: unanswered(at)}
	case codes.Canceled:
		return &Error{Code: Refused, Text: "interrupted"}
	case codes.Unauthenticated:
		return &Error{Code: Refused, Text: message(s), Hint: "give --user and --password, or --cert and --key of a client certificate that the device's authority signed"}
	case codes.PermissionDenied:
		return &Error{Code: Refused, Text: message(s), Hint: denied(at)}
	case codes.Unimplemented:
		return &Error{Code: Refused, Text: message(s), Hint: "the device runs a version that does not offer this; see `ashlar status`"}
	case codes.NotFound:
		return &Error{Code: Refused, Text: message(s), Absent: true}
	default:
		return &Error{Code: Refused, Text: message(s)}
	}
}

// message is the status's own text with its code and whatever details name a field or a condition.
func message(s *status.Status) string {
	text, lines := s.Message(), ""
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				if !strings.Contains(text, v.GetField()) {
					lines += fmt.Sprintf("\n  %s: %s", v.GetField(), v.GetDescription())
				}
			}
		case *errdetails.PreconditionFailure:
			for _, v := range d.GetViolations() {
				text = strings.TrimSpace(strings.Replace(text, v.GetDescription(), "", 1))
				lines += "\n  - " + v.GetDescription()
			}
		}
	}
	if text == "" {
		text = "not allowed"
	}
	return fmt.Sprintf("%s (%s)%s", text, s.Code(), lines)
}

func unavailable(s *status.Status, at Place) *Error {
	text := s.Message()
	e := &Error{Code: Unreachable}
	switch {
	case strings.Contains(text, "no such file or directory"):
		return silent(at, "there is no "+at.Address)
	case strings.Contains(text, "permission denied"):
		e.Text = fmt.Sprintf("permission denied on %s", at.Address)
		e.Hint = "be root, for example by sudo; or use --target with a password or certificate"
	case strings.Contains(text, "connection refused") && at.Local:
		return silent(at, "nobody listens on its socket "+at.Address)
	case strings.Contains(text, "connection refused"):
		e.Text = fmt.Sprintf("nobody listens on %s", at.Address)
		e.Hint = "check the address and that the device has gNMI switched on"
	case strings.Contains(text, "x509") || strings.Contains(text, "tls:"):
		e.Text = fmt.Sprintf("%s: %s", at.Address, afterLast(text, "authentication handshake failed: "))
		e.Hint = "check --ca, and that the server's certificate names this address (ashlar init --address)"
	default:
		e.Text = fmt.Sprintf("%s: %s (%s)", at.Address, text, s.Code())
		e.Hint = unanswered(at)
	}
	return e
}

// silent explains why nobody is at a socket of this machine, by who is at the others.
func silent(at Place, why string) *Error {
	var all []string
	if at.Answering != nil {
		all = at.Answering()
	}
	others := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == at.Component })
	who := at.Component
	if who == Supervisor {
		who = "the supervisor"
	}
	e := &Error{Code: Unreachable, Text: fmt.Sprintf("%s does not answer: %s", who, why)}
	switch {
	case len(others) == 0:
		e.Text = "the device is not running: " + why
		e.Hint = "start it (systemctl start ashlard), or say with --root or --socket where it is"
	case at.Component == Supervisor:
		e.Hint = fmt.Sprintf("the device goes on without it: %s answer; start it again (systemctl start ashlard)", strings.Join(others, ", "))
	case slices.Contains(others, Supervisor):
		e.Hint = unanswered(at)
	default:
		e.Hint = fmt.Sprintf("the supervisor, which would start it again, does not answer either, but %s do; start it (systemctl start ashlard)", strings.Join(others, ", "))
	}
	return e
}

// late says who did not answer in time.
func late(at Place) string {
	if at.Local {
		return fmt.Sprintf("%s does not answer in time on its socket %s", at.Component, at.Address)
	}
	return fmt.Sprintf("%s does not answer in time", at.Address)
}

func afterLast(text, mark string) string {
	if i := strings.LastIndex(text, mark); i >= 0 {
		return strings.Trim(text[i+len(mark):], "\"")
	}
	return text
}

func unanswered(at Place) string {
	if !at.Local {
		return "check the address and the network"
	}
	if at.Component == Supervisor {
		return "the supervisor is being restarted or hangs; try again in a moment, then see its log"
	}
	return fmt.Sprintf("see `ashlar status` and `ashlar logs %s`", at.Component)
}

func denied(at Place) string {
	if at.Local {
		return "be root, for example by sudo"
	}
	return "the user's role does not allow this"
}

// Code is the exit code for an error.
func Code(err error) int {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e):
		return e.Code
	default:
		return Refused
	}
}
