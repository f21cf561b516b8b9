// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package packages

import (
	"context"
	"errors"
	"testing"
)

// A caller whose stream this process ends must come again; one that left by itself need not.
func TestCut(t *testing.T) {
	leaving, end := context.WithCancelCause(t.Context())
	if cut(leaving) {
		t.Error("a call that goes on was cut")
	}
	end(errors.New("the component is being replaced"))
	left, cancel := context.WithCancel(t.Context())
	cancel()
	if !cut(leaving) || cut(left) {
		t.Errorf("cut by the process: %t, by the caller: %t", cut(leaving), cut(left))
	}
}
