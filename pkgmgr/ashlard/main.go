// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command ashlard is the supervisor of an Ashlar device.
package main

import (
	_ "embed"
	"fmt"
	"os"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/command"
)

//go:embed component.yaml
var manifest []byte

func main() {
	if err := command.New(manifest).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "ashlard:", err)
		os.Exit(1)
	}
}
