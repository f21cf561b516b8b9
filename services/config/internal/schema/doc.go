// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package schema is the model at run time: which paths exist, what they may hold, and how values are written.
//
// Load compiles YANG modules once into a Model. A Model and everything reached from it never changes, so any number of
// goroutines use it without a lock. Every path and every value that enters the configuration service passes through a
// Model; there is no second place that knows types. A new set of modules is a new Model.
//
// What of YANG it does not enforce it refuses to load: when, must, unique, mandatory, choice, min-elements and max-elements.
// So nothing is declared and then ignored.
package schema
