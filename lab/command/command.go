// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package command is the command line of ashlar-lab.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ashlar-nos/ashlar/lab/demo"
	"github.com/ashlar-nos/ashlar/lab/instance"
	"github.com/ashlar-nos/ashlar/lab/intent"
	"github.com/ashlar-nos/ashlar/lab/proof"
	"github.com/spf13/cobra"
)

// options are what every command takes.
type options struct {
	build, name string
}

// New returns the command.
func New() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "ashlar-lab",
		Short: "An Ashlar router and two hosts in network namespaces",
		Long: `ashlar-lab makes a router and two hosts out of network namespaces on this machine. It needs root and changes
nothing else: in the machine's own network only a veth interface to the router's management port appears.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if os.Geteuid() != 0 {
				return errors.New("needs root: it makes network namespaces and loads XDP programs")
			}
			return nil
		},
	}
	c.PersistentFlags().StringVar(&o.build, "build", builtIn(), "directory with what was built: bin/ and generation/")
	c.AddCommand(upCommand(&o), downCommand(&o), demoCommand(&o), proofCommand(&o))
	return c
}

// builtIn is the build directory that this program is in, or the tree's when run from its top.
func builtIn() string {
	if program, err := os.Executable(); err == nil && filepath.Base(filepath.Dir(program)) == "bin" {
		return filepath.Dir(filepath.Dir(program))
	}
	return "build"
}

// readyLimit bounds the wait for a device to be ready.
const readyLimit = 60 * time.Second

func upCommand(o *options) *cobra.Command {
	var bare bool
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a lab in the background and write how to reach it",
		Long: `up starts the router, gives its ports their addresses and writes lines KEY=VALUE to build/lab/env, or for a lab with
another name to build/lab/<name>/env. It returns when every component is ready.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), readyLimit)
			defer cancel()
			return up(ctx, c, *o, bare)
		},
	}
	c.Flags().StringVar(&o.name, "name", instance.Default, "name of the lab; several may be up")
	c.Flags().BoolVar(&bare, "bare", false, "leave the router without any configuration")
	return c
}

func up(ctx context.Context, c *cobra.Command, o options, bare bool) error {
	lab, err := instance.Up(ctx, o.build, o.name)
	if err != nil {
		return err
	}
	defer lab.Close()
	if !bare {
		arguments := []string{"set"}
		for _, update := range intent.Interfaces() {
			arguments = append(arguments, "--update", update)
		}
		if out, err := lab.Operate(ctx, arguments...); err != nil {
			return errors.Join(fmt.Errorf("%w: %s", err, out), lab.KeepLogs(), instance.Down(context.WithoutCancel(ctx), o.build, o.name))
		}
	}
	file, err := lab.WriteEnvironment()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "lab %s is up; %s tells how to reach it\n", o.name, file)
	return err
}

func downCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "down",
		Short: "End exactly what up started",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := instance.Down(context.WithoutCancel(c.Context()), o.build, o.name)
			if errors.Is(err, instance.ErrDown) {
				_, err = fmt.Fprintf(c.OutOrStdout(), "lab %s is not up\n", o.name)
				return err
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "lab %s is down, nothing is left\n", o.name)
			return err
		},
	}
	c.Flags().StringVar(&o.name, "name", instance.Default, "name of the lab")
	return c
}

func demoCommand(o *options) *cobra.Command {
	rate := 0
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show a router that is configured, killed piece by piece, and loses nothing",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return demo.Run(c.Context(), demo.Options{Build: o.build, Out: c.OutOrStdout(), Rate: rate})
		},
	}
	c.Flags().IntVar(&rate, "rate", demo.Rate, "packets a second, half of them IPv4 and half IPv6")
	return c
}

func proofCommand(o *options) *cobra.Command {
	p := proof.Options{Rate: proof.Rate}
	c := &cobra.Command{
		Use:       "proof NAME",
		Short:     "Prove at length what the tests show in short",
		Long:      fmt.Sprintf("proof takes minutes. NAME is one of: %s.", strings.Join(proof.Names(), ", ")),
		Args:      cobra.ExactArgs(1),
		ValidArgs: proof.Names(),
		RunE: func(c *cobra.Command, arguments []string) error {
			p.Build, p.Out = o.build, c.OutOrStdout()
			return proof.Run(c.Context(), arguments[0], p)
		},
	}
	c.Flags().IntVar(&p.Rate, "rate", p.Rate, "packets a second, half of them IPv4 and half IPv6")
	c.Flags().IntVar(&p.Rounds, "rounds", 0, "upgrades, and as many ways back; 0 means the proof's own number")
	c.Flags().StringSliceVar(&p.Components, "component", nil, "only these components")
	return c
}
