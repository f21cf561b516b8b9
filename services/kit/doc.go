// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package kit is the skeleton that every service stands on.
//
// A service's main names its manifest and its constructor; the kit gives it the listening sockets that the
// supervisor holds, structured logs, metrics, traces, health and readiness, the lifecycle contract, the
// caller's identity with default-deny authorisation, clients by contract, a configuration owner and a
// telemetry publisher. A new service's author writes domain code only.
//
// The kit starts what a service asks for, never more: it writes no file of its own and opens no port.
package kit
