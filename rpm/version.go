// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"cmp"
	"strings"
)

// CompareVersions orders semantic versions (semver.org 2.0.0, §11): negative when a comes before b, 0 when neither does,
// positive when a comes after b. A pre-release comes before its release; what follows a "+" has no meaning.
func CompareVersions(a, b string) int {
	coreA, preA := splitVersion(a)
	coreB, preB := splitVersion(b)
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

func splitVersion(v string) (core, pre string) {
	v, _, _ = strings.Cut(v, "+")
	core, pre, _ = strings.Cut(v, "-")
	return core, pre
}

// compareFields compares what stands between dots, in order; where all are equal, fewer come first.
func compareFields(a, b string) int {
	listA, listB := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(listA), len(listB)) {
		if c := compareField(listA[i], listB[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(listA), len(listB))
}

// compareField compares numbers by value, words by letters, and puts numbers first.
func compareField(a, b string) int {
	switch numberA, numberB := digits(a), digits(b); {
	case numberA && numberB:
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	case numberA:
		return -1
	case numberB:
		return 1
	}
	return strings.Compare(a, b)
}

func digits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}
