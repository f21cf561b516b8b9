// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package grace

import "testing"

func TestWait(t *testing.T) {
	var w Waiter
	defer w.Close()
	if err := w.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := w.fallBack(); err != nil {
		t.Fatalf("the map of maps needs root: %v", err)
	}
	if err := w.Wait(); err != nil {
		t.Fatal(err)
	}
}
