// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package kit is the skeleton that every service stands on.
//
// A service's main names its manifest and its constructor; the kit gives it the listening sockets that the
// supervisor holds, structured logs, metrics, traces, health and readiness, the lifecycle contract, the
// caller's identity with default-deny authorisation, clients by contract, a configuration owner and a
// telemetry publisher. A new service's author writes domain code only.
//
// A version of a component is replaced by another one under traffic. Both run side by side for a while and share the
// listening sockets. The supervisor speaks to each process on a socket of its own, "lifecycle"; on all others a process
// accepts only once Activate has given it the token. Freeze keeps new clients waiting in the sockets' queues, sends
// connected ones there, and returns when no call that writes is under way; Unfreeze serves them again; Drain answers
// what was begun, cuts streams and ends the process. None of this closes a connection under a call: a client that
// follows GOAWAY, as every gRPC client does, sees no error and needs no retries. A service that writes by other ways
// than calls implements Freezer, one that can say beforehand what it would write Rehearser, one that knows what its
// successor could not find out Transferrer. One with gRPC servers of its own serves them behind a Front.
//
// The kit starts what a service asks for, never more: it writes no file of its own and opens no port.
package kit
