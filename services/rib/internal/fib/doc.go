// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package fib keeps what the dataplane should have beside what it was sent and what it acknowledged, and
// turns the difference into transactions.
//
// It promises convergence: whatever order of wishes, acknowledgements, refusals and lost sessions it sees,
// the transactions it hands out end in the wished state, or each wish that cannot be had carries the
// dataplane's reason. A prefix waits in the queue once however often its wish changes, so the memory is
// bounded by the number of prefixes. Groups go before routes, and a group goes in the same transaction as
// the first route that needs it, because the dataplane collects groups that no route uses.
//
// It does no I/O, reads no clock and is not safe for concurrent use: package rib holds the lock.
package fib
