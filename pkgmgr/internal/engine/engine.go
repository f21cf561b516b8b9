// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine goes from one set of components to another in service, and back.
package engine
