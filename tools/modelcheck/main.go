// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command modelcheck compares the YANG modules of a directory with OpenConfig's, as they are embedded in the generated
// package github.com/openconfig/ygot/exampleoc: each node of an openconfig-* module must be there under the same path with
// the same kind, keys, type, default, units and module, be configuration or state alike, and take the same values. What
// deviates on purpose is listed in deviations.go with its reason; a deviation that is gone is a finding too.
//
// It prints what it found and exits with 1 when there is anything, with 2 when it could not compare.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: modelcheck DIRECTORY")
		os.Exit(2)
	}
	result, err := check(os.DirFS(os.Args[1]), deviations())
	if err != nil {
		fmt.Fprintln(os.Stderr, "modelcheck:", err)
		os.Exit(2)
	}
	for _, f := range result.findings {
		fmt.Println(f)
	}
	fmt.Printf("%d nodes compared with OpenConfig's, %d deviations on purpose, %d findings\n", result.nodes, len(deviations()), len(result.findings))
	if len(result.findings) > 0 {
		os.Exit(1)
	}
}
