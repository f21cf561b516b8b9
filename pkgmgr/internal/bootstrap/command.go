// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Command returns `pkgmgrd bootstrap`.
func Command() *cobra.Command {
	o := Options{Versions: map[string]string{}}
	parent := &cobra.Command{Use: "pkgmgrd", SilenceErrors: true, SilenceUsage: true, CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}}
	c := &cobra.Command{
		Use:   "bootstrap --repository DIR [--root R] [--keys DIR] [component=version …]",
		Short: "Install a device from a repository",
		Long: `bootstrap makes the package store and generation 1 of a device that does not run: the newest version of each component
in the repository, or the one that is named. Only packages that are signed by a trusted key are taken.`,
		RunE: func(c *cobra.Command, args []string) error {
			for _, arg := range args {
				component, version, ok := strings.Cut(arg, "=")
				if !ok || component == "" || version == "" {
					return fmt.Errorf("%q: want component=version, for example rib=1.0.0", arg)
				}
				o.Versions[component] = version
			}
			o.Now, o.Out = time.Now(), c.OutOrStdout()
			return Run(o)
		},
	}
	c.Flags().StringVar(&o.Root, "root", "/", "directory below which the device keeps its state")
	c.Flags().StringVar(&o.Repository, "repository", "", "directory of the packages, with evidence/ and keys/")
	c.Flags().StringVar(&o.Keys, "keys", "", "directory of the public keys to trust (default: keys/ of the repository)")
	if err := c.MarkFlagRequired("repository"); err != nil {
		panic(err) // the flag is declared three lines above
	}
	parent.AddCommand(c)
	return parent
}
