// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command ifmgrd manages the device's interfaces: links, addresses and static neighbours.
package main

import (
	_ "embed"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/app"
	"github.com/ashlar-nos/ashlar/services/kit"
)

//go:embed component.yaml
var manifest []byte

func main() { kit.Main(manifest, app.New) }
