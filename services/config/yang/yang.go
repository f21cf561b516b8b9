// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package yang carries the models that the configuration service serves. The files are the only definition of them: the
// service compiles them at start, and the Go structs of internal/oc are generated from them.
package yang

import (
	"embed"
	"io/fs"
)

//go:embed *.yang
var files embed.FS

// Files are the modules, one file each, all at the top.
func Files() fs.FS { return files }
