// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/ashlar-nos/ashlar/rpm/internal/yard"
	"github.com/spf13/cobra"
)

// NewRelease returns the command ashlar-release.
func NewRelease() *cobra.Command {
	root := &cobra.Command{
		Use:           "ashlar-release",
		Short:         "Build, pack and release the components of the tree whose top is the current directory",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	y := &yard.Yard{Root: "."}
	var keys string
	root.PersistentFlags().StringVar(&y.Work, "work", "build", "where components' directories and packages are kept")
	root.PersistentFlags().StringVar(&y.Repository, "out", "build/repo", "the repository that takes the packages")
	root.PersistentFlags().StringVar(&keys, "keys", "build/keys", "directory with the secret key; one is made there when it has none")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		y.Log = cmd.OutOrStdout()
		if cmd.Annotations[needsKey] != "" {
			y.Key, err = loadOrMakeKey(keys)
		}
		return err
	}
	root.AddCommand(trees(y), times(y), pack(y), releases(y), add(y))
	return root
}

// needsKey marks the commands that sign.
const needsKey = "key"

func signs() map[string]string { return map[string]string{needsKey: "yes"} }

func loadOrMakeKey(dir string) (*rpm.Key, error) {
	key, err := rpm.LoadKey(dir)
	if errors.Is(err, os.ErrNotExist) {
		return rpm.NewKey(dir, "ashlar")
	}
	return key, err
}

func trees(y *yard.Yard) *cobra.Command {
	return &cobra.Command{
		Use:   "trees [COMPONENT…]",
		Short: "Compile components into directories, below trees/ of the work directory",
		RunE: func(cmd *cobra.Command, args []string) error {
			components, err := y.Trees(cmd.Context(), args...)
			if err != nil {
				return err
			}
			for _, c := range components {
				fmt.Fprintf(cmd.OutOrStdout(), "built    %-12s %s\n", c.Name, c.Version)
			}
			return nil
		},
	}
}

func times(y *yard.Yard) *cobra.Command {
	return &cobra.Command{
		Use:   "times [COMPONENT…]",
		Short: "Print components' build times: when a file that the package is made of was changed last",
		RunE: func(cmd *cobra.Command, args []string) error {
			built, err := y.Times(cmd.Context(), args...)
			for _, name := range slices.Sorted(maps.Keys(built)) {
				fmt.Fprintln(cmd.OutOrStdout(), name, built[name].Unix())
			}
			return err
		},
	}
}

func pack(y *yard.Yard) *cobra.Command {
	return &cobra.Command{
		Use:         "pack",
		Short:       "Pack every component of the tree into the repository",
		Args:        cobra.NoArgs,
		Annotations: signs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			packages, err := y.PackTree(cmd.Context())
			return summary(cmd, y, packages, err)
		},
	}
}

func releases(y *yard.Yard) *cobra.Command {
	return &cobra.Command{
		Use:         "build [COMPONENT=VERSION…]",
		Short:       "Put released versions into the repository, building from their commits those that are not there",
		Annotations: signs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			packages, err := y.PackReleases(cmd.Context(), args...)
			return summary(cmd, y, packages, err)
		},
	}
}

func summary(cmd *cobra.Command, y *yard.Yard, packages []yard.Package, err error) error {
	if err != nil {
		return err
	}
	fresh := 0
	for _, p := range packages {
		if p.Fresh {
			fresh++
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d packages in %s, %d of them new\n", len(packages), y.Repository, fresh)
	return nil
}

func add(y *yard.Yard) *cobra.Command {
	return &cobra.Command{
		Use:         "add [COMPONENT…]",
		Short:       "Release components as HEAD has them: add rows to rpm/releases.yaml; all that are not released without arguments",
		Annotations: signs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			rows, err := y.Release(cmd.Context(), args...)
			for _, r := range rows {
				fmt.Fprintf(cmd.OutOrStdout(), "released %s at %.12s: %s\n", r, r.Commit, r.Digest)
			}
			if err == nil && len(rows) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "every component's version is released already")
			}
			return err
		},
	}
}
