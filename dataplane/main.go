// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command dataplaned programs the XDP forwarding engine. It forwards nothing itself: packets go on without it.
package main

import (
	_ "embed"

	"github.com/ashlar-nos/ashlar/dataplane/internal/app"
	"github.com/ashlar-nos/ashlar/services/kit"
)

//go:embed component.yaml
var manifest []byte

func main() { kit.Main(manifest, app.New) }
