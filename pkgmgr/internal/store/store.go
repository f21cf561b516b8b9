// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package store keeps what the device may run: packages that a trusted key has signed, unpacked each in a directory
// of its digest, and signed results of contract tests. What it holds was verified and is on the disk; what it
// refuses leaves nothing behind.
package store
