// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package e2e holds no code: its tests run whole devices, as built by `make build`, in the lab's network, and
// ask for what an operator would see.
package e2e
