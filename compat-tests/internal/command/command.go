// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package command is the command line of ashlar-compat.
package command

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/compat-tests/internal/contract"
	"github.com/ashlar-nos/ashlar/compat-tests/internal/run"
)

// New returns the command.
func New() *cobra.Command {
	c := &cobra.Command{
		Use:           "ashlar-compat",
		Short:         "Test what components rely on of each other",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	c.AddCommand(verify(), check())
	return c
}

func verify() *cobra.Command {
	o := run.Options{}
	c := &cobra.Command{
		Use:   "verify --repository DIR --keys DIR",
		Short: "Make the contract-test results of a repository that are missing",
		Long: `verify installs devices from a repository, each in a network of its own, and plays what every consumer relies on
against every provider of it. Results are signed documents in the repository's directory evidence. One that is there for
the same contract file and the same package is not made again. It needs root, and fails when one result is a failure.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return errors.New("needs root: it makes network namespaces and runs whole devices")
			}
			o.Report = c.OutOrStdout()
			return run.Verify(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Build, "build", "build", "directory with what was built: bin/ and generation/")
	f.StringVar(&o.Repository, "repository", "build/repo", "directory of packages")
	f.StringVar(&o.Keys, "keys", "build/keys", "directory with the key that signs results")
	f.StringVar(&o.Out, "out", "", "directory for results; evidence/ in the repository when empty")
	return c
}

func check() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE…",
		Short: "Check contract files against the declarations",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			var errs []error
			for _, file := range files {
				f, err := contract.Load(file)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				c.Printf("%s: %s relies on %d interactions of %s, H %.12s\n", file, f.Consumer, len(f.Interactions), f.Contract, f.Hash)
			}
			return errors.Join(errs...)
		},
	}
}
