// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package table is the routing information base: every path of every source, the best of each prefix, and
// what its next hops resolve to.
//
// Next hops are kept once for all routes that name them, in a set. A set resolves by walking the table:
// the longest reachable match of an address, then the next hops of that route, until interfaces are
// reached. A route that is already on the way is passed over, so recursion ends; when nothing else covers
// the address the set is unreachable and says so. The outcome is a function of the paths present and of the
// interfaces that are up, of nothing else: not of the order of events, not of earlier outcomes.
//
// Each set remembers every address it looked up and every interface it used. A change therefore touches
// exactly the sets that could see it, in one pass, and a set whose outcome changes writes one group however
// many routes share it (prefix-independent convergence). Routes are touched only when a set becomes
// reachable or ceases to be. Groups belong to equal sets of next hops as given, not as resolved: two sets
// that happen to resolve alike must be able to part again without moving a route.
//
// The package does no I/O and is not safe for concurrent use: package rib holds the lock. Changes take
// effect in Settle.
package table
