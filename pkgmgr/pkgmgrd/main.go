// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command pkgmgrd is the package manager of an Ashlar device.
package main

import (
	_ "embed"
	"fmt"
	"os"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/bootstrap"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/pkgapp"
	"github.com/ashlar-nos/ashlar/services/kit"
)

//go:embed component.yaml
var manifest []byte

func main() {
	if len(os.Args) > 1 && os.Args[1] == "bootstrap" {
		if err := bootstrap.Command().Execute(); err != nil {
			fmt.Fprintln(os.Stderr, "pkgmgrd:", err)
			os.Exit(1)
		}
		return
	}
	kit.Main(manifest, pkgapp.New)
}
