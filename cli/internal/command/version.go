// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/render"
)

func (s *session) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this command; `ashlar status` shows the components'",
		Args:  between(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			g := render.Grid{Columns: []string{"COMMAND", "VERSION", "TOOLCHAIN"}}
			g.Add(render.Text("ashlar"), render.Text(Version), render.Text(runtime.Version()))
			return s.writer().Answer(g, map[string]string{"command": "ashlar", "version": Version, "toolchain": runtime.Version()})
		},
	}
}
