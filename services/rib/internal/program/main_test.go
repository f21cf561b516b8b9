// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package program

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
