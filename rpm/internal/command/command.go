// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package command is the command line of ashlar-rpm. It only reads arguments and prints; package rpm does the work.
package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/spf13/cobra"
)

// New returns the command.
func New() *cobra.Command {
	root := &cobra.Command{
		Use:           "ashlar-rpm",
		Short:         "Pack components, make repositories, check packages",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(keys(), build(), repository(), verify(), unpack(), sign())
	return root
}

// keysFlag adds the directory of keys.
func keysFlag(c *cobra.Command, usage string) *string {
	dir := c.Flags().String("keys", "", usage)
	_ = c.MarkFlagRequired("keys") // fails only for a flag that is not there
	return dir
}

// timeFlag adds the build time.
func timeFlag(c *cobra.Command) *int64 {
	when := c.Flags().Int64("time", 0, "seconds since 1970: the time of the commit (git log -1 --format=%ct)")
	_ = c.MarkFlagRequired("time")
	return when
}

func keys() *cobra.Command {
	var name string
	var valid time.Duration
	c := &cobra.Command{
		Use:   "keys DIR",
		Short: "Make a signing key, DIR/<name>.key and DIR/<name>.asc, unless the directory has one",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := rpm.LoadKey(args[0])
			if errors.Is(err, os.ErrNotExist) {
				key, err = rpm.NewKeyFor(args[0], name, valid)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), key.ID())
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "ashlar", "whose key it is")
	c.Flags().DurationVar(&valid, "valid", 0, "how long it is valid; 0 means for ever")
	return c
}

func build() *cobra.Command {
	c := &cobra.Command{
		Use:   "build --keys DIR --time SECONDS [--out DIR] TREE…",
		Short: "Pack directories of components",
		Args:  cobra.MinimumNArgs(1),
	}
	dir, when := keysFlag(c, "directory with the secret key"), timeFlag(c)
	out := c.Flags().String("out", ".", "where to put the packages")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		key, err := rpm.LoadKey(*dir)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(*out, 0o755); err != nil {
			return err
		}
		for _, tree := range args {
			file, err := rpm.Build(tree, *out, key, time.Unix(*when, 0))
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), file)
		}
		return nil
	}
	return c
}

func repository() *cobra.Command {
	c := &cobra.Command{
		Use:   "repo --keys DIR --time SECONDS REPOSITORY",
		Short: "Make a directory of packages a repository, or bring one up to date",
		Args:  cobra.ExactArgs(1),
	}
	dir, when := keysFlag(c, "directory with the secret key"), timeFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		key, err := rpm.LoadKey(*dir)
		if err != nil {
			return err
		}
		return rpm.Publish(cmd.Context(), args[0], key, time.Unix(*when, 0))
	}
	return c
}

func verify() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify --keys DIR FILE…",
		Short: "Check packages as a device does that trusts the keys (*.asc) of DIR",
		Args:  cobra.MinimumNArgs(1),
	}
	dir := keysFlag(c, "directory with the trusted public keys")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		keyring, err := rpm.LoadKeyring(*dir)
		if err != nil {
			return err
		}
		return verifyAll(cmd.OutOrStdout(), keyring, args)
	}
	return c
}

func verifyAll(w io.Writer, keyring rpm.Keyring, files []string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var failed []error
	for _, file := range files {
		p, err := rpm.Open(file, keyring)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\tsigned by %s\t%d bytes\n", p.Component, p.Version, p.Digest, p.Signer, p.Size)
	}
	return errors.Join(append(failed, table.Flush())...)
}

func unpack() *cobra.Command {
	c := &cobra.Command{
		Use:   "unpack --keys DIR FILE TREE",
		Short: "Check a package and unpack it into a new directory",
		Args:  cobra.ExactArgs(2),
	}
	dir := keysFlag(c, "directory with the trusted public keys")
	c.RunE = func(_ *cobra.Command, args []string) error {
		keyring, err := rpm.LoadKeyring(*dir)
		if err != nil {
			return err
		}
		p, err := rpm.Open(args[0], keyring)
		if err != nil {
			return err
		}
		return p.Unpack(args[1])
	}
	return c
}

func sign() *cobra.Command {
	c := &cobra.Command{
		Use:   "sign --keys DIR FILE…",
		Short: "Write the detached signature of files, for example of evidence, as FILE.asc",
		Args:  cobra.MinimumNArgs(1),
	}
	dir := keysFlag(c, "directory with the secret key")
	c.RunE = func(_ *cobra.Command, args []string) error {
		key, err := rpm.LoadKey(*dir)
		if err != nil {
			return err
		}
		for _, file := range args {
			if err := rpm.SignFile(file, key); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}
