// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command hostd looks after the machine itself: its name, its clock, the inventory of components.
package main

import (
	_ "embed"

	"github.com/ashlar-nos/ashlar/services/host/internal/app"
	"github.com/ashlar-nos/ashlar/services/kit"
)

//go:embed component.yaml
var manifest []byte

func main() { kit.Main(manifest, app.New) }
