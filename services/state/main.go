// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command stated is the device's state store: etcd behind ashlar.state.v1.
package main

import (
	_ "embed"

	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/state/internal/app"
)

//go:embed component.yaml
var manifest []byte

func main() { kit.Main(manifest, app.New) }
