// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command configd is the configuration service of an Ashlar device: gNMI to the north, the two-phase commit to
// the components that own the configuration, and everybody's state in one tree. The supervisor starts it.
package main

import (
	_ "embed"

	"github.com/ashlar-nos/ashlar/services/config/internal/app"
	"github.com/ashlar-nos/ashlar/services/kit"
)

//go:embed component.yaml
var manifest []byte

func main() { kit.Main(manifest, app.New) }
