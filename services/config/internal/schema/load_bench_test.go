// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"testing"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/yang"
)

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := schema.Load(yang.Files()); err != nil {
			b.Fatal(err)
		}
	}
}
