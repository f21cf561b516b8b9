// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package semver orders the versions of components (Semantic Versioning 2.0.0, section 11). It is pure.
package semver

import (
	"cmp"
	"strconv"
	"strings"
)

// Compare returns -1, 0 or 1. Build metadata does not count; what is no number compares as text.
func Compare(a, b string) int {
	coreA, preA := split(a)
	coreB, preB := split(b)
	if c := compareFields(coreA, coreB); c != 0 {
		return c
	}
	switch {
	case preA == preB:
		return 0
	case preA == "":
		return 1
	case preB == "":
		return -1
	}
	return compareFields(preA, preB)
}

func split(v string) (core, pre string) {
	v, _, _ = strings.Cut(v, "+")
	core, pre, _ = strings.Cut(v, "-")
	return core, pre
}

func compareFields(a, b string) int {
	fieldsA, fieldsB := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(fieldsA), len(fieldsB)) {
		if c := compareField(fieldsA[i], fieldsB[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(fieldsA), len(fieldsB))
}

// compareField puts numbers before words.
func compareField(a, b string) int {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(x, y)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return cmp.Compare(a, b)
}
