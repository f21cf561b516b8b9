// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command ribd is the routing table: it chooses the best path of each prefix across protocols, resolves
// next hops and programs the dataplane.
package main

import (
	_ "embed"

	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/rib/internal/app"
)

//go:embed component.yaml
var manifest []byte

func main() { kit.Main(manifest, app.New) }
