// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package semver

import "testing"

func TestCompare(t *testing.T) {
	// The order of section 11 of the specification, and numbers that text would order otherwise.
	order := []string{"0.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.10.0", "2.0.0"}
	for i, a := range order {
		for j, b := range order {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := Compare(a, b); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
	if Compare("1.0.0+a", "1.0.0+b") != 0 {
		t.Error("build metadata counts")
	}
}
