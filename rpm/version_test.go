// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"cmp"
	"testing"
)

func TestCompareVersions(t *testing.T) {
	// As the specification's own example has them, and numbers that text would order otherwise.
	ordered := []string{"0.9.12", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
		"1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0", "10.0.0", "99999999999999999999.0.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := CompareVersions(a, b); cmp.Compare(got, 0) != cmp.Compare(i, j) {
				t.Errorf("%s and %s: got %d", a, b, got)
			}
		}
	}
	if got := CompareVersions("1.0.0+a", "1.0.0+b"); got != 0 {
		t.Errorf("build metadata: got %d", got)
	}
}
