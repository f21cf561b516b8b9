// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package command is the command line of ashlard.
package command

import (
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/app"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// New returns the command. manifestYAML is the supervisor's own component.yaml.
func New(manifestYAML []byte) *cobra.Command {
	o := app.Options{Manifest: manifestYAML, Stderr: os.Stderr}
	c := &cobra.Command{
		Use:   "ashlard --root DIR [--generation DIR]",
		Short: "Run an Ashlar device",
		Long: `ashlard starts the components of a generation in the order of their requirements, holds their listening
sockets, watches them and starts again what dies.

SIGTERM and SIGINT drain and end every component, then ashlard. SIGHUP ends ashlard alone and leaves the components
running; so does its death. The next ashlard on the same root adopts them.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(*cobra.Command, []string) error { return run(o) },
	}
	c.PersistentFlags().StringVar(&o.Root, "root", "/", "directory below which the device keeps its state, sockets and logs")
	c.Flags().StringVar(&o.Generation, "generation", "", "directory of the components to run (default: the committed generation)")
	for _, sub := range []*cobra.Command{checkCommand(&o), guardCommand(&o)} {
		sub.Flags().StringVar(&o.Generation, "generation", "", "directory of the components to run (default: the committed generation)")
		c.AddCommand(sub)
	}
	c.AddCommand(cleanCommand(&o), versionCommand(manifestYAML))
	return c
}

func checkCommand(o *app.Options) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Prove that this program can supervise the device",
		Long: `check reads the generation and the supervisor's records and changes nothing. The supervisor runs it before another
program of its own takes over.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return app.Check(*o, c.OutOrStdout()) },
	}
}

func guardCommand(o *app.Options) *cobra.Command {
	var pid int
	var startTime uint64
	var managed bool
	c := &cobra.Command{
		Use:    "guard",
		Short:  "Go back to this program when the one that replaced it fails (started by the supervisor)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return app.Guard(*o, pid, startTime, managed) },
	}
	c.Flags().IntVar(&pid, "pid", 0, "process of the supervisor")
	c.Flags().BoolVar(&managed, "managed", false, "a service manager starts the supervisor again when it ends")
	c.Flags().Uint64Var(&startTime, "start-time", 0, "when it began, in clock ticks since boot")
	return c
}

func cleanCommand(o *app.Options) *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Take the device off this machine",
		Long: `clean kills what is left of a device whose supervisor does not run, and removes its sockets, its control groups and
its pinned programs and maps, so that forwarding ends. State and logs stay.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return app.Clean(*o) },
	}
}

func versionCommand(manifestYAML []byte) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := manifest.Parse(manifestYAML)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s %s (%s)\n", m.Daemon, m.Version, m.Name)
			return err
		},
	}
}

func run(o app.Options) error {
	signals := make(chan os.Signal, 8)
	// SIGPIPE is caught so that a reader of stderr that went away does not end the supervisor.
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGPIPE)
	defer signal.Stop(signals)
	stop, leave, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	defer close(done)
	go translate(signals, done, stop, leave)
	return app.Run(o, app.Signals{Stop: stop, Leave: leave})
}

// translate closes stop or leave at the first signal that says so.
func translate(signals <-chan os.Signal, done <-chan struct{}, stop, leave chan<- struct{}) {
	stopping := false
	for {
		select {
		case <-done:
			return
		case s := <-signals:
			switch {
			case s == unix.SIGHUP:
				close(leave)
				return
			case s != unix.SIGPIPE && !stopping:
				stopping = true
				close(stop)
			}
		}
	}
}
