// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package tree holds configuration and state as immutable trees.
//
// A Tree never changes; any number of goroutines read it without a lock. An Edit builds the next one by copying only the
// branches it touches, so a one-leaf change costs the same at ten interfaces and at a hundred thousand. Comparing two trees
// that share history (Diff) visits only what differs. An Edit belongs to one goroutine.
//
// There are two sorts. A configuration tree holds what clients set: only configuration nodes; a list entry lives from
// its first mention until it, or something above it, is deleted; config/<key> always equals the key. Defaults are not
// stored; they are shown by a View. A state tree holds what publishers said: only state nodes and list keys, each leaf
// with the time of its event and its publisher; a list entry lives while something in it does.
//
// Cross-references: a leafref in configuration to configuration must find its target when the Edit commits
// (RFC 7950 §9.9.3), whatever the order of the operations. Whether the interface behind it exists in the machine is no
// matter of configuration; that is told as state. References from state are not checked.
//
// Errors are *schema.Error and name the path.
package tree
