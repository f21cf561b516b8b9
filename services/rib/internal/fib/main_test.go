// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain makes the property tests search longer than the library's default, where flags do not say.
func TestMain(m *testing.M) {
	flag.Parse()
	for name, value := range map[string]string{"rapid.checks": "3000", "rapid.steps": "100"} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			if err := flag.Set(name, value); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
	os.Exit(m.Run())
}
